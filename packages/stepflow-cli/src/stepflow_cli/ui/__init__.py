"""`stepflow ui`: web pages for a server's runs, flows and components. Needs the `stepflow-cli[ui]` extra.

    browser -> guard (Host, Origin, session, form token) -> views -> client -> server

`security` decides which requests to serve, `views` read from the server and render `templates`, and `run_followers`
relays run events to open pages.
"""
