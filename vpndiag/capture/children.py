"""IPsec SAs that the quick modes of a capture agree on."""

from __future__ import annotations

from vpndiag.observations import (
    IkeMessage,
    IpsecSa,
)
from vpndiag.protocols.ike.constants import ProtocolId
from vpndiag.protocols.ike.payloads import IdPayload, Payload, SaPayload
from vpndiag.protocols.ike.transforms import EspTransform

_TUNNEL_MODES = (1, 3, 61443)
_ENCAPSULATED = (3, 4, 61443, 61444)


class Children:
    """IPsec SAs out of decrypted quick modes."""

    def __init__(self) -> None:
        self._offers: dict[int, tuple[str, SaPayload]] = {}
        self._made = 0

    def take(self, seen: IkeMessage, payloads: tuple[Payload, ...]) -> IpsecSa | None:
        offer = next((p for p in payloads if isinstance(p, SaPayload)), None)
        if offer is None:
            return None
        if seen.step == "QM1":
            if len(self._offers) < 1024:
                self._offers[seen.message_id] = (seen.direction, offer)
            return None
        asked = self._offers.get(seen.message_id)
        theirs = _esp(offer)
        if asked is None or theirs is None:
            return None
        ours = _esp(asked[1])
        if ours is None:
            return None
        # SPIs are named by the receiver of the packets.
        first, second = ours[0], theirs[0]
        spi_in, spi_out = (first, second) if asked[0] == "out" else (second, first)
        transform = theirs[1]
        self._made += 1
        ids = [p for p in payloads if isinstance(p, IdPayload)][:2]
        if asked[0] != "out":
            ids.reverse()
        return IpsecSa(
            t=seen.t,
            frames=seen.frames,
            spi_in=f"0x{spi_in:08x}",
            spi_out=f"0x{spi_out:08x}",
            transform=transform.text,
            mode="tunnel" if transform.encapsulation_mode in _TUNNEL_MODES else "transport",
            udp_encapsulated=transform.encapsulation_mode in _ENCAPSULATED,
            pfs_group=transform.pfs_group,
            weak=transform.weak,
            rekey=self._made > 1,
            client_port=ids[0].port if len(ids) == 2 else None,
            gateway_port=ids[1].port if len(ids) == 2 else None,
        )


def _esp(offer: SaPayload) -> tuple[int, EspTransform] | None:
    for proposal in offer.proposals:
        if proposal.protocol == ProtocolId.ESP and len(proposal.spi) == 4 and proposal.transforms:
            spi = int.from_bytes(proposal.spi, "big")
            return spi, EspTransform.from_transform(proposal.transforms[0])
    return None
