"""The number in a QUIC CONNECTION_CLOSE, in words."""

_TRANSPORT = (
    "NO_ERROR",
    "INTERNAL_ERROR",
    "CONNECTION_REFUSED",
    "FLOW_CONTROL_ERROR",
    "STREAM_LIMIT_ERROR",
    "STREAM_STATE_ERROR",
    "FINAL_SIZE_ERROR",
    "FRAME_ENCODING_ERROR",
    "TRANSPORT_PARAMETER_ERROR",
    "CONNECTION_ID_LIMIT_ERROR",
    "PROTOCOL_VIOLATION",
    "INVALID_TOKEN",
    "APPLICATION_ERROR",
    "CRYPTO_BUFFER_EXCEEDED",
    "KEY_UPDATE_ERROR",
    "AEAD_LIMIT_REACHED",
    "NO_VIABLE_PATH",
)
"""RFC 9000, section 20.1, from 0 on."""
_HTTP3 = (
    "H3_NO_ERROR",
    "H3_GENERAL_PROTOCOL_ERROR",
    "H3_INTERNAL_ERROR",
    "H3_STREAM_CREATION_ERROR",
    "H3_CLOSED_CRITICAL_STREAM",
    "H3_FRAME_UNEXPECTED",
    "H3_FRAME_ERROR",
    "H3_EXCESSIVE_LOAD",
    "H3_ID_ERROR",
    "H3_SETTINGS_ERROR",
    "H3_MISSING_SETTINGS",
    "H3_REQUEST_REJECTED",
    "H3_REQUEST_CANCELLED",
    "H3_REQUEST_INCOMPLETE",
    "H3_MESSAGE_ERROR",
    "H3_CONNECT_ERROR",
    "H3_VERSION_FALLBACK",
)
"""RFC 9114, section 8.1, from 0x100 on."""
ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
"""RFC 8446, section 6."""
CRYPTO = 0x100
"""CRYPTO_ERROR: 0x100 to 0x1ff carry a TLS alert (RFC 9000, section 20.1; RFC 9001, section 4.8)."""


def describe_code(code: int, *, established: bool) -> str:
    """Return ``code`` in hexadecimal and what it means, as in ``0x128 = TLS alert 40 handshake_failure``.

    0x100 to 0x110 are codes of HTTP/3 too. Before the handshake has ended (``established``) HTTP/3 cannot
    have spoken, so there they are alerts.
    """
    if 0 <= code < len(_TRANSPORT):
        return f"{code:#x} = {_TRANSPORT[code]}"
    if established and 0 <= code - CRYPTO < len(_HTTP3):
        return f"{code:#x} = {_HTTP3[code - CRYPTO]}"
    if CRYPTO <= code < 2 * CRYPTO:
        alert = code - CRYPTO
        return f"{code:#x} = TLS alert {alert} {ALERTS.get(alert, '')}".rstrip()
    return f"{code:#x}"
