"""HTTP/1.1, as far as a broker needs it: whole requests in, responses or streams out.  h11 parses."""
