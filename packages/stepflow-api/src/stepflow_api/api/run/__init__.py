# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
"""Contains endpoint functions for accessing the API"""
