"""What IP packets inside the tunnel carry, as far as questions and captures look at it: IPv4, ICMP,
UDP, TCP and DHCP, bytes to values and back."""
