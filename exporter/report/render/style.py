"""The look of the house, and what a report needs beyond it: sources that wrap, a wide bar, paper."""

from exporter.server.style import STYLE as _HOUSE

STYLE = (
    _HOUSE
    + """
h1 { overflow-wrap: anywhere; }
td { vertical-align: baseline; }
td:nth-child(2) { overflow-wrap: normal; }
td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
td small { display: block; max-width: 30rem; color: var(--soft); font-size: 0.8125rem; line-height: 1.35; }
sup { margin-left: 0.15em; color: var(--soft); font-size: 0.6875em; line-height: 0; }
.note { margin: 0.25rem 0; font-size: 0.8125rem; }
table.narrow { width: auto; min-width: min(26rem, 100%); }
.shares { display: block; width: 100%; height: 1.25rem; margin: 1.25rem 0 0.5rem; border-radius: 4px; }
footer { margin-top: 3rem; padding-top: 0.75rem; border-top: 1px solid var(--line); font-size: 0.875rem; }
@media (max-width: 40rem) {
  body { padding: 1.25rem 1rem 3rem; }
  h1 { font-size: 1.375rem; }
  th, td { padding-right: 0.75rem; font-size: 0.9375rem; }
}
@media print {
  :root {
    --ink: #000; --soft: #444; --paper: #fff; --line: #ccc; --warn-ink: #6b3d00; --warn: #fff; --warn-line: #6b3d00;
  }
  html { font-size: 8.5pt; }
  body { max-width: none; padding: 0; }
  h2 { break-after: avoid; margin-top: 1.25rem; }
  tr, .shares, .warning { break-inside: avoid; }
  .wide { overflow: visible; }
  td:not(.number) { white-space: normal; }
  .shares, .key, .warning { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
)
