"""`stepflow ui`: pages that show a server's runs, flows and components. Needs the extra `stepflow-cli[ui]`.

    browser -> guard (Host, Origin, session, form token) -> views -> client -> server

`security` decides which requests are served, `views` read from the server and render `templates`, and `following`
relays the events of runs to open pages.
"""
