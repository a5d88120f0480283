"""Sans-IO PPP: framing, LCP, authentication, IPCP, IPV6CP and as much of CCP as refusing it takes.

Start with :class:`~vpndiag.protocols.ppp.link.PppLink`.
"""
