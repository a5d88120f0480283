"""IKEv1: messages, payloads, proposals, key derivation and exchanges; recognition of IKEv2."""
