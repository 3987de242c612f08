"""What a 4D administrator configured: bytes of XML in, typed values and findings out."""
