"""Who is asked what was booked. Each yields an Account; none of them works anything out by a factor.

    prometheus.account(url, begin, end, matchers=..., access=..., name=..., watch=...)   what a Prometheus remembers
    running.account(url, access=..., name=...)                                  an exporter, since its books began
    recorded.account(path, watch=..., name=...)                                 a recording, from beginning to end

    series       which series an account is made of, and a page: one exporter's for a period   (pure)
    booked       page ─► books and usages                                                      (pure)
    cautions     what must be known before these figures are believed                          (pure)
    period, standing, groups        what a Prometheus is asked: who was there, then all of some exporters at a time
    queries, incarnations           how it is asked, and what counters grew by

All raise ReportError, in one line that says what to do; a recording that is none raises RecordingError.
"""
