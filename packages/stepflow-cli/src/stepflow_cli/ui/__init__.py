"""`stepflow ui`: pages that show a server's runs, flows and components. Needs the extra `stepflow-cli[ui]`.

    browser -> guard (Host, Origin, session, form token) -> views -> client -> server

`guard` decides who is served at all, `views` read from the server and render `templates`, `following` relays the events
of runs to the pages that are open.
"""
