#!/bin/sh
# Installs what the lab needs on Debian 12: packages, and two that are only unpacked into a cache
# directory (User-Mode Linux, which needs no place in the system, and Libreswan, whose package
# conflicts with strongSwan's).  As root.  Starts no daemon, enables none, and does nothing when all
# is there.
set -eu
cache=${VPNDIAG_LAB_CACHE:-/var/cache/vpndiag-lab}
packages="
  softether-vpnserver softether-vpncmd
  strongswan-charon strongswan-libcharon strongswan-swanctl
  libstrongswan-standard-plugins libstrongswan-extra-plugins
  xl2tpd ppp l2tpns freeradius freeradius-utils
  ike-scan iproute2 nftables conntrack ethtool iputils-ping kmod procps psmisc util-linux
  netbase
  tcpdump tshark openssl libnss3-tools python3
  libunbound8 libldns3 libcurl3-nss libevent-core-2.1-7 libevent-pthreads-2.1-7 libldap-2.5-0
  libcap-ng0 libaudit1 dns-root-data"
unpacked="user-mode-linux libreswan"
daemons="softether-vpnserver strongswan-starter strongswan xl2tpd l2tpns freeradius"

[ "$(id -u)" = 0 ] || { echo "install.sh: as root, please" >&2; exit 1; }

missing=
for package in $packages; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
done
wanted=
for package in $unpacked; do
  [ -e "$cache/$package/.unpacked" ] || wanted="$wanted $package"
done
if [ -z "$missing$wanted" ]; then
  echo "lab: everything is installed"
  exit 0
fi

export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
  trap 'rm -f $policy' EXIT
  trap 'exit 1' HUP INT TERM
fi
# only the daemons that come with this run are disabled: one that was there before stays as it was
fresh=
for daemon in $daemons; do
  [ -e "/lib/systemd/system/$daemon.service" ] || fresh="$fresh $daemon"
done

apt-get update -q
[ -z "$missing" ] || apt-get install -q -y --no-install-recommends \
  -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-confdef $missing
if command -v systemctl >/dev/null; then
  for daemon in $fresh; do
    [ ! -e "/lib/systemd/system/$daemon.service" ] ||
      systemctl -q --no-reload disable "$daemon.service" 2>/dev/null || true
  done
fi

for package in $wanted; do
  folder=$(mktemp -d)
  (cd "$folder" && apt-get download -q -o APT::Sandbox::User=root "$package")
  rm -rf "${cache:?}/$package"
  mkdir -p "$cache/$package"
  dpkg-deb -x "$folder"/*.deb "$cache/$package"
  rm -r "$folder"
done
# the kernel's modules where modprobe -d looks for them
modules=$cache/user-mode-linux/usr/lib/uml/modules
mkdir -p "$cache/modules/lib"
ln -sfn "$modules" "$cache/modules/lib/modules"
for version in "$modules"/*; do
  depmod -b "$cache/modules" "${version##*/}"
done
for package in $wanted; do
  touch "$cache/$package/.unpacked"
done
echo "lab: installed, with $cache"
