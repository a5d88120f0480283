"""Result and error codes of StopCCN and CDN, with the texts of RFC 2661, 4.4.2."""

from __future__ import annotations

STOPCCN_RESULTS: dict[int, str] = {
    0: "Reserved",
    1: "General request to clear control connection",
    2: "General error--Error Code indicates the problem",
    3: "Control channel already exists",
    4: "Requester is not authorized to establish a control channel",
    5: "The protocol version of the requester is not supported; "
    "Error Code indicates highest version supported",
    6: "Requester is being shut down",
    7: "Finite State Machine error",
}

CDN_RESULTS: dict[int, str] = {
    0: "Reserved",
    1: "Call disconnected due to loss of carrier",
    2: "Call disconnected for the reason indicated in error code",
    3: "Call disconnected for administrative reasons",
    4: "Call failed due to lack of appropriate facilities being available (temporary condition)",
    5: "Call failed due to lack of appropriate facilities being available (permanent condition)",
    6: "Invalid destination",
    7: "Call failed due to no carrier detected",
    8: "Call failed due to detection of a busy signal",
    9: "Call failed due to lack of a dial tone",
    10: "Call was not established within time allotted by LAC",
    11: "Call was connected but no appropriate framing was detected",
}

GENERAL_ERRORS: dict[int, str] = {
    0: "No general error",
    1: "No control connection exists yet for this LAC-LNS pair",
    2: "Length is wrong",
    3: "One of the field values was out of range or reserved field was non-zero",
    4: "Insufficient resources to handle this operation now",
    5: "The Session ID is invalid in this context",
    6: "A generic vendor-specific error occurred in the LAC",
    7: "Try another",
    8: "Session or tunnel was shutdown due to receipt of an unknown AVP with the M-bit set",
}

STOPCCN_CLEAR = 1
STOPCCN_ERROR = 2
STOPCCN_NOT_AUTHORIZED = 4
STOPCCN_VERSION = 5
STOPCCN_FSM = 7
CDN_ERROR = 2
CDN_ADMINISTRATIVE = 3
CDN_NO_FACILITIES = 5
CDN_NOT_IN_TIME = 10
ERROR_NO_RESOURCES = 4
ERROR_VALUE = 3
ERROR_UNKNOWN_AVP = 8


def stopccn_text(result: int) -> str:
    """The RFC's text, or a plain one for a number that it does not define."""
    return STOPCCN_RESULTS.get(result, f"unknown result {result}")


def cdn_text(result: int) -> str:
    return CDN_RESULTS.get(result, f"unknown result {result}")


def error_text(error: int) -> str:
    return GENERAL_ERRORS.get(error, f"unknown error {error}")
