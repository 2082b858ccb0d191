"""TLS to a broker or a web server, always verified."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.errors import SettingsError
from edgekit.schema import STRICT


@dataclass(frozen=True)
class Tls:
    """ca: PEM file of the authorities to trust instead of the system's. cert, key: PEM files that prove who this device
    is, where the other side asks for it; the key without a pass phrase, for nobody is there to type it."""

    __pydantic_config__ = STRICT

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if self.key is not None and self.cert is None:
            raise ValueError("a key needs its cert")

    def within(self, folder: Path) -> Tls:
        """With paths relative to `folder` made whole."""
        return replace(self, **{what: folder / path for what, path in vars(self).items() if path is not None})

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later that checks the certificate and the name in it. `SettingsError` names a file that is not
        what it should be."""
        for path in (self.ca, self.cert, self.key):
            if path is not None and not path.is_file():
                raise SettingsError(f"{path}: no such file")
        try:
            context = ssl.create_default_context(cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.cert is not None:
                # The empty pass phrase: OpenSSL would ask the terminal for one, and wait for ever.
                context.load_cert_chain(self.cert, self.key, password="")
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(str(path) for path in (self.ca, self.cert, self.key) if path is not None)
            raise SettingsError(f"{files}: {error.strerror or error}") from error
        return context

    def renew(self, context: ssl.SSLContext) -> None:
        """Have `context` use what the files hold now, on connections from now on, and trust its authorities as before.
        `SettingsError` leaves it as it is."""
        if self.ca is None and self.cert is None:
            return
        self.context()  # a key that does not fit its certificate would leave the other one without either
        if self.ca is not None:
            context.load_verify_locations(self.ca)
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key, password="")
