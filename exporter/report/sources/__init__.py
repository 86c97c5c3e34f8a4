"""Who is asked what was booked. Each yields an Account; none of them works anything out by a factor.

    prometheus.account(url, begin, end, matchers=..., access=..., name=...)     a period that a Prometheus remembers
    running.account(url, access=..., name=...)                                  an exporter, since its books began
    recorded.account(path, watch=..., name=...)                                 a recording, from its beginning to its end

All raise ReportError, in one line that says what to do; a recording that is none raises RecordingError.
"""
