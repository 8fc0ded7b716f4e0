"""The configuration: one documented record per section of the TOML file.

Order of precedence: environment (`GATEWAY_SECTION__KEY`), file, the defaults in the records.

section.py    what a section is
broker.py     [gateway] [core] [queues] [store] [log] [admin]
protocols.py  [mqtt] [stomp]
web.py        [websocket] [http]
access.py     [security] [[user]] [[rule]]
tls.py        [connector.tls]
pki.py        [pki]
connector.py  [[connector]]: the URI and its options
whole.py      the whole file
loading.py    reading it, and saying what is wrong with it
"""

from gateway.config.broker import StoreSection
from gateway.config.connector import AUTO, OPTIONS, SCHEMES, ConnectorSection
from gateway.config.loading import ConfigError, load
from gateway.config.pki import PkiSection
from gateway.config.section import is_loopback
from gateway.config.tls import KeyPairSection, TlsSection
from gateway.config.whole import Config

__all__ = [
    "AUTO",
    "OPTIONS",
    "SCHEMES",
    "Config",
    "ConfigError",
    "ConnectorSection",
    "KeyPairSection",
    "PkiSection",
    "StoreSection",
    "TlsSection",
    "is_loopback",
    "load",
]
