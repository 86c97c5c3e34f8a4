"""The landing page's look: one column, light or dark as the reader's system is."""

STYLE = """
:root {
  --ink: #1b1f24; --soft: #5c6670; --paper: #fbfbf9; --line: #e1e3e0; --link: #0b62a8;
  --warn-ink: #6b3d00; --warn: #fff1d6; --warn-line: #e8a83a;
  --requests: #1f7a4d; --idle: #a9b4bd; --unattributed: #c8553d; --unsettled: #e2c35a;
  --alone: #0b62a8; --share: #8d99a3; --drift: #b3371f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e8ea; --soft: #9aa4ad; --paper: #14171a; --line: #2c3238; --link: #78b7ec;
    --warn-ink: #ffd894; --warn: #332610; --warn-line: #9a6a17;
    --requests: #43b27c; --idle: #5d6872; --unattributed: #e07a64; --unsettled: #b99a37;
    --alone: #78b7ec; --share: #7d8892; --drift: #ff8d76;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 66rem; padding: 2.5rem 1.5rem 4rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 { margin: 0; font-size: 1.75rem; font-weight: 650; letter-spacing: -0.01em; }
h1 small { color: var(--soft); font-size: 1rem; font-weight: 400; letter-spacing: 0; }
h2 { margin: 2.5rem 0 0.5rem; font-size: 1.125rem; font-weight: 650; }
header p { margin: 0.25rem 0 0; }
p, .legend { margin: 0.5rem 0; color: var(--soft); }
p strong { color: var(--ink); font-weight: 600; }
a { color: var(--link); text-underline-offset: 0.15em; }
code { font: 0.9em ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; color: var(--ink); }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.4rem 1rem 0.4rem 0; border-bottom: 1px solid var(--line); text-align: left; }
th { color: var(--soft); font-size: 0.875rem; font-weight: 500; vertical-align: bottom; }
td { white-space: nowrap; }
td:nth-child(2) { overflow-wrap: anywhere; }
.number { text-align: right; }
.number + :not(.number) { padding-left: 1rem; }
th:last-child, td:last-child { padding-right: 0; }
b, td strong { font-weight: 600; }
.bar { display: block; width: 9rem; height: 0.75rem; margin-left: auto; border-radius: 3px; }
.key { width: 0.7em; height: 0.7em; border-radius: 2px; }
.requests { fill: var(--requests); } .idle { fill: var(--idle); }
.unattributed { fill: var(--unattributed); } .unsettled { fill: var(--unsettled); }
.legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1.5rem; padding: 0; list-style: none; font-size: 0.875rem; }
.legend b { color: var(--ink); }
h3 { margin: 1.5rem 0 0.5rem; font-size: 1rem; font-weight: 650; overflow-wrap: anywhere; }
h3 small { color: var(--soft); font-size: 1em; font-weight: 400; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr)); gap: 1rem 1.5rem; }
figure { margin: 0; }
figcaption, figure p { margin: 0; color: var(--soft); font-size: 0.8125rem; }
figcaption { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
sub { font-size: 0.75em; line-height: 0; }
figcaption b { color: var(--ink); font-size: 0.9375rem; }
.scatter { display: block; width: 100%; height: auto; margin: 0.25rem 0; font-size: 8.5px; }
.scatter text { fill: var(--soft); }
.scatter .axis { font-style: italic; }
.box { fill: none; stroke: var(--line); }
.grid { fill: none; stroke: var(--line); stroke-width: 0.6; }
path.truth { fill: none; stroke: var(--soft); stroke-width: 1; stroke-dasharray: 4 3; }
rect.truth { fill: var(--soft); }
path.alone, path.share { fill: none; stroke-linecap: round; }
path.alone { stroke: var(--alone); stroke-width: 5.5; opacity: 0.9; }
path.share { stroke: var(--share); stroke-width: 3.5; opacity: 0.6; }
rect.alone { fill: var(--alone); } rect.share { fill: var(--share); }
.scores { margin-top: 1rem; font-size: 0.9375rem; }
.scores th, .scores td { padding-right: 0.35rem; }
.scores th { font-size: 0.8125rem; }
.scores .first { padding-left: 1rem; }
.scores thead tr:first-child th { border-bottom: 0; padding-bottom: 0; text-align: right; }
.scores .metered { color: var(--ink); } .scores .ruled { color: var(--soft); opacity: 0.75; }
.drift { color: var(--drift); }
.warning {
  margin: 1rem 0; padding: 0.6rem 1rem; color: var(--warn-ink); background: var(--warn);
  border-left: 4px solid var(--warn-line); border-radius: 3px;
}
.warning strong, .warning code { color: inherit; font-weight: 700; }
.estimated {
  padding: 0.05rem 0.4rem; color: var(--warn-ink); background: var(--warn); border-radius: 3px; font-weight: 600;
}
"""
