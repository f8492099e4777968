"""The GraphQL door.

`from graphql import ...` inside this package means graphql-core: never put `opsin/` itself on
`sys.path` (`python opsin/app.py`, `uvicorn --app-dir opsin`), or Strawberry would import this one.
"""
