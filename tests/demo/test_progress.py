from io import StringIO

from exporter.demo.progress import Progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_what_happens() -> None:
    terminal = Terminal()
    progress = Progress(terminal)
    progress.say("begin")
    progress.count("requests")
    progress.count("requests")
    progress.say("end")
    assert terminal.getvalue() == "begin\n\r  1 requests\r  2 requests\nend\n"


def test_a_pipe_sees_nothing() -> None:
    pipe = StringIO()
    progress = Progress(pipe)
    progress.say("begin")
    progress.count("requests")
    assert pipe.getvalue() == ""
