"""The Hub's HTTP interface: what each request asks for, and the responses."""
