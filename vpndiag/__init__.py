"""vpndiag: which layer of an L2TP/IPsec connection fails, why, and who has to act."""

__version__ = "0.1.0"
