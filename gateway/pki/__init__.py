"""Certificates: a root and an intermediate authority of one's own, and what they issue.

The folder that is made is also a working folder for `openssl ca`: either side sees what the other has done.

errors.py     what is told to people
files.py      writing so that nothing half-written and no readable key is ever left
keys.py       key types, private keys in files
names.py      subjects, alternative names, how openssl writes a subject in a line
profiles.py   what a server, a client, an authority may be: extensions, and what a request must not ask for
conf.py       reading openssl's .cnf
templates.py  the .cnf texts that are written
database.py   index.txt, serial, crlnumber
authority.py  signs, revokes, publishes its list
folder.py     where everything lies; init and adopt
issue.py      issue, csr, sign, renew, selfsigned
importing.py  certificates signed elsewhere
chain.py      does a certificate lead to a root?
check.py      what will go wrong, and when
show.py       certificates as text
export.py     other formats
der.py        bytes of DER taken apart and put together
ocsp.py       answers whether a certificate is revoked
ocsp_several.py  … for several in one request
probe.py      what a client sees of a TLS server
"""
