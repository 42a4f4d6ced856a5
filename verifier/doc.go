package verifier
