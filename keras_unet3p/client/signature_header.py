"""How a proxy learns which signature a request is for without reading its body."""

SIGNATURE_HEADER = "x-signature-name"
"""Header, or gRPC metadata, of every prediction. Servers do not look at it; proxies can log it and
limit by it."""
