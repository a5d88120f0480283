#!/bin/bash
# First process of a lab machine (User-Mode Linux).  Its root is the host file system, read-only;
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
hostname "$vdname"
printf "127.0.0.1 localhost\n127.0.0.1 %s\n" "$vdname" >/run/hosts; mount --bind /run/hosts /etc/hosts
# All modules now, then none: left to itself the kernel starts modprobe many times for every new
# algorithm, seconds in which the first L2TP messages are lost
modprobe -d "$vdmods" -a af_packet unix esp4 xfrm_user xfrm_algo authenc cbc ctr ecb gcm ccm hmac cmac \
  xcbc des_generic echainiv seqiv sha256_generic sha512_generic md5 drbg l2tp_ppp ppp_generic \
  ppp_async ppp_mppe ppp_deflate dummy tun veth bridge 2>&1
echo >/proc/sys/kernel/modprobe
[ -e /dev/ppp ] || mknod /dev/ppp c 108 0
# make every transform once
key() { printf "0x%0$(($1 * 2))d" 7; }
sa() { echo "xfrm state add src 127.0.0.9 dst 127.0.0.9 proto esp spi 0x$1 mode transport" \
  "auth-trunc $2 $(key "$3") $4 enc $5 $(key "$6")"; }
{
  echo "link set lo up"
  sa 101 'hmac(sha1)' 20 96 'cbc(aes)' 32; sa 102 'hmac(sha256)' 32 128 'cbc(aes)' 16
  sa 103 'hmac(sha1)' 20 96 'cbc(des3_ede)' 24; sa 104 'hmac(md5)' 16 96 'cbc(aes)' 16
  echo "xfrm state flush"
} >/run/warm; ip -batch /run/warm
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
