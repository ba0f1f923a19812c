"""`stepflow ui`: web pages that show a server's runs, flows and components. Requires the `stepflow-cli[ui]` extra.

    browser -> guard (Host, Origin, session, form token) -> views -> client -> server

`security` decides which requests to serve, `views` reads from the server and renders `templates`, and `run_followers`
relays run events to open pages.
"""
