"""The openssl configuration that is written beside each authority.  A folder's own `templates/` comes first."""

from pathlib import Path
from string import Template
from typing import Final

from gateway.pki import files
from gateway.pki.errors import PkiError

AUTHORITY: Final = """\
# The authority ${name}, for openssl as for `gateway pki`.  Paths count from the PKI folder: run openssl there.
#
#   openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout x.key -out x.csr -subj /CN=x
#   openssl ca -config ${name}/${name}.cnf -in x.csr -out x.crt ${example}
#   openssl ca -config ${name}/${name}.cnf -revoke x.crt -crl_reason superseded
#   openssl ca -config ${name}/${name}.cnf -gencrl -out ${name}.crl

[default]
ca = ${name}
dir = .
${publish}
[ca]
default_ca = authority

[authority]
certificate = $$dir/$$ca.crt
private_key = $$dir/$$ca/private/$$ca.key
new_certs_dir = $$dir/$$ca/newcerts
database = $$dir/$$ca/index.txt
serial = $$dir/$$ca/serial
crlnumber = $$dir/$$ca/crlnumber
unique_subject = no
default_days = ${days}
default_crl_days = ${crl_days}
default_md = ${digest}
policy = any_subject
x509_extensions = ${extensions}
crl_extensions = crl_ext
copy_extensions = ${copy}
email_in_dn = no
preserve = no
name_opt = utf8,sep_comma_plus
cert_opt = ca_default

[any_subject]
domainComponent = optional
countryName = optional
stateOrProvinceName = optional
localityName = optional
organizationName = optional
organizationalUnitName = optional
commonName = optional
emailAddress = optional

[crl_ext]
authorityKeyIdentifier = keyid:always
"""

ROOT: Final = (
    AUTHORITY
    + """
[intermediate_ext]
basicConstraints = critical,CA:true,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
${places}
"""
)

INTERMEDIATE: Final = (
    AUTHORITY
    + """
# Alternative names are copied from the request; what is written here cannot be overridden by it.
[server_ext]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
${places}
[client_ext]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
${places}
[both_ext]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
${places}
"""
)

TEMPLATES: Final = {"root-ca.cnf": ROOT, "intermediate-ca.cnf": INTERMEDIATE}
"""File name → text.  The same files are in certs/templates/."""


def places(publish: str, *, ocsp: bool) -> str:
    """Lines that tell where lists, answers and the authority's certificate are; none without `publish`."""
    if not publish:
        return ""
    access = "OCSP;URI:$publish/ocsp," if ocsp else ""
    return (
        "crlDistributionPoints = URI:$publish/$ca.crl\n"
        f"authorityInfoAccess = {access}caIssuers;URI:$publish/$ca.crt\n"
    )


def render(folder: Path, name: str, **values: str) -> str:
    """The .cnf of the authority `name`, from the folder's own template or ours; of a further one (`root-ca-2`) that of the
    first, unless the folder has one of its own.  Raises PkiError."""
    first = f"{name.rstrip('0123456789').removesuffix('-')}.cnf"
    own = folder / "templates" / f"{name}.cnf"
    if not own.exists():
        own = own.with_name(first)
    text = files.read_text(own) if own.exists() else TEMPLATES[first]
    try:
        return Template(text).substitute(values, name=name)
    except (KeyError, ValueError) as error:
        raise PkiError(f"{own}: {error}: write $$ for a dollar sign") from None
