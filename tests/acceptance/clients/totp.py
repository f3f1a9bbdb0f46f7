"""An authenticator app (RFC 6238) by the cryptography package, which shares no code with ours.

totp.py [STEPS]    reads the otpauth: address that an app scans from stdin, and prints the
                   code that it shows now, or so many steps from now
"""

import base64
import sys
import time
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

scanned = urlsplit(sys.stdin.read().strip())
given = {name: values[0] for name, values in parse_qs(scanned.query).items()}
if (scanned.scheme, scanned.netloc, given["issuer"]) != ("otpauth", "totp", "Procura"):
    raise ValueError("this is nothing that an app scans")
# What an app takes that is told nothing else.
if given.get("algorithm", "SHA1") != "SHA1":
    raise ValueError(given["algorithm"])
digits, period = int(given.get("digits", "6")), int(given.get("period", "30"))
secret = base64.b32decode(given["secret"] + "=" * (-len(given["secret"]) % 8))
steps = int(sys.argv[1]) if len(sys.argv) > 1 else 0
app = TOTP(secret, digits, SHA1(), period)
print(app.generate(int(time.time()) + steps * period).decode())
