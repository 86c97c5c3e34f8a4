"""What the joules come to: totals, a leaderboard, units that people feel, cost, carbon, and two periods side by side.

Theory of operation. Three places know what was booked: a Prometheus, a recording, a running exporter. Each is read into
the same frozen Account (`account.py`); all else is worked out from accounts, and what is worked out by a factor is
a line of its own with the factor and where it comes from beside it. Nothing is ever folded into what was metered.

    sources/     Prometheus (IO), a running exporter (IO), a recording ─► Account
    account      books by device and rows by server and model: what is known, nothing derived
    summary      what a report consists of; totals, leaderboard, comparison, sci work it out of accounts    (pure)
    footprint    joules ─► units, cost, carbon, each with its factor and source; grid: countries; data/     (pure)
    references   published figures, to stand beside one's own                                               (pure)
    compose      Account(s) and what was asked for ─► Report                                                (pure)
    render/      Report ─► terminal text, Markdown, HTML, JSON                                              (pure)
    asking, command    whom to ask, for which time; from what was typed to what is printed
"""
