#!/bin/bash
# First process of a lab machine (User-Mode Linux).  Its root is the host's own file system, read-only;
# what is written goes to memory.  The kernel's command line gives vdctl (a directory shared with the
# host), vdmods (the kernel's modules) and vdname (host name).  Then it runs the scripts that the host
# names on the console.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/run
mount -t proc proc /proc; mount -t sysfs sys /sys
mkdir -p /dev/pts; mount -t devpts devpts /dev/pts; ln -sfn /proc/self/fd /dev/fd
mount -t tmpfs -o mode=755 run /run; mount -t tmpfs tmp /tmp
mkdir -p /run/ctl /run/lab/ppp /run/log /run/xl2tpd /run/lock /run/pluto /run/ppp /run/libexec
mount -t hostfs -o "$vdctl" ctl /run/ctl
mount --bind /run/lab/ppp /etc/ppp
# the kernel asks for crypto modules by itself: from our module tree
printf '#!/bin/sh\nexec /usr/sbin/modprobe -d %s "$@"\n' "$vdmods" >/run/modprobe; chmod 755 /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
hostname "$vdname"
modprobe -d "$vdmods" -a af_packet unix esp4 xfrm_user xfrm_algo authenc cbc hmac des_generic echainiv \
  sha256_generic md5 l2tp_ppp ppp_generic ppp_async ppp_mppe ppp_deflate tun 2>&1
[ -e /dev/ppp ] || mknod /dev/ppp c 108 0
# Make every transform once: else the first SA of a kind is late and swallows the first L2TP message
key() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }
sa() { ip xfrm state add src 127.0.0.9 dst 127.0.0.9 proto esp spi "0x$1" mode transport \
  auth-trunc "$2" "0x$(key "$3")" "$4" enc "$5" "0x$(key "$6")"; }
ip link set lo up
sa 101 'hmac(sha1)' 20 96 'cbc(aes)' 32; sa 102 'hmac(sha256)' 32 128 'cbc(aes)' 16
sa 103 'hmac(sha1)' 20 96 'cbc(des3_ede)' 24; sa 104 'hmac(md5)' 16 96 'cbc(aes)' 16
ip xfrm state flush
echo 1 >/proc/sys/net/ipv4/ip_forward
for f in /proc/sys/net/ipv4/conf/*/{rp_filter,send_redirects,accept_redirects}; do echo 0 >"$f"; done
echo "VD-READY $(cut -d' ' -f1 /proc/uptime)"
while :; do
  while read -r n; do
    [ -n "$n" ] || continue
    bash "/run/ctl/$n.sh" >"/run/ctl/$n.out" 2>&1 </dev/null
    echo $? >"/run/ctl/$n.rc"
  done
  sleep 1
done
