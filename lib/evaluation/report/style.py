"""How the page looks: colours, dashes, style sheet, and the script that sorts tables."""

from collections.abc import Iterable
from dataclasses import dataclass

# hues that stay apart for colour-blind readers, each dark enough for a white page and light enough for a black one
PALETTE = (
    ("#0a6cb8", "#5ab4f5"),  # blue
    ("#c8460a", "#ff8f52"),  # vermilion
    ("#00806a", "#35c9a0"),  # green
    ("#a3468a", "#e79bd0"),  # purple
    ("#8f6400", "#e3b341"),  # ochre
    ("#68717c", "#a3acb7"),  # grey
)
DASHES: tuple[tuple[float, ...], ...] = ((), (7, 2.5), (2, 2), (9, 2, 2, 2))
TRUTH = "truth"
# the usual rows keep their colours from one report to the next
_USUAL = {"trained": 0, "tuned": 1, "untrained": 4, "still box": 5}


@dataclass(frozen=True)
class Style:
    """Colour and dash of one tracker, wherever it appears."""

    index: int
    truth: bool = False

    @property
    def css(self) -> str:
        return "var(--truth)" if self.truth else f"var(--s{self.index % len(PALETTE)})"

    @property
    def dash(self) -> tuple[float, ...]:
        """Colour and dash together are unique for the first 24 trackers."""
        return DASHES[(self.index + self.index // len(PALETTE)) % len(DASHES)]

    @property
    def code(self) -> str:
        """Colour of its boxes on a frame: the light shade, since they are drawn over a dark rim."""
        return "#ffffff" if self.truth else PALETTE[self.index % len(PALETTE)][1]

    @property
    def bgr(self) -> tuple[int, int, int]:
        red, green, blue = bytes.fromhex(self.code[1:])
        return blue, green, red


def styles(names: Iterable[str]) -> dict[str, Style]:
    """A style for each name: the usual names have their own, the others take what is free, in order."""
    names = list(dict.fromkeys(names))
    taken = {_USUAL[name] for name in names if name in _USUAL}
    free = (index for index in range(len(names) + len(_USUAL) + 1) if index not in taken)
    return {
        name: Style(0, truth=True) if name == TRUTH else Style(_USUAL[name] if name in _USUAL else next(free))
        for name in names
    }


def _variables(shade: int) -> str:
    return "".join(f"--s{index}:{pair[shade]};" for index, pair in enumerate(PALETTE))


CSS = (
    f"""
:root {{
  color-scheme: light dark; --truth: #fff; --rim: #14171a;
  --page: #fdfdfc; --panel: #f3f4f4; --ink: #1b1f23; --soft: #59626b; --line: #dde1e4; {_variables(0)}
}}
@media (prefers-color-scheme: dark) {{
  :root {{ --page: #14171a; --panel: #1d2125; --ink: #e7e9eb; --soft: #a1a9b1; --line: #343a41; {_variables(1)} }}
}}"""
    """
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100% }
body {
  margin: 0; background: var(--page); color: var(--ink); font-variant-numeric: tabular-nums;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
header, main, footer { max-width: 72.5rem; margin: 0 auto; padding: 0 1.25rem }
header { padding-top: 2.5rem }
main { padding-bottom: 4rem }
h1 { font-size: 1.9rem; line-height: 1.2; letter-spacing: -.01em; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 1.3rem; line-height: 1.25; margin: 0 0 .35rem }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere }
p { margin: 0; max-width: 46rem }
a { color: inherit; text-decoration-color: var(--soft); text-underline-offset: .2em }
section { margin: 3.25rem 0 0; scroll-margin-top: 1rem }
section > p { margin-bottom: 1rem }
figure { margin: 0; min-width: 0 }
figcaption { font-size: .9rem; color: var(--soft) }
:focus-visible { outline: 2px solid var(--s0); outline-offset: 2px }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 1rem 0 0; padding: 0 }
.soft { color: var(--soft) }
.skip { position: absolute; left: -99rem }
.skip:focus { left: 1rem; top: .5rem; background: var(--page); padding: .25rem .5rem }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
.warning { border-left: 3px solid var(--s1); background: var(--panel); padding: .5rem .75rem; margin-top: 1rem }

/* tables: each scrolls in its own box, the first column stays */
.scroll { overflow-x: auto }
.tall { max-height: min(46rem, 85vh); overflow: auto }
table { border-collapse: separate; border-spacing: 0; width: 100% }
caption { text-align: left; font-size: .9rem; color: var(--soft); padding-bottom: .5rem }
th, td { padding: .55rem .75rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th { font-weight: 600 }
thead th { color: var(--soft); font-size: .9rem; vertical-align: baseline; background: var(--page) }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--page); padding-left: 0; z-index: 1 }
.tall thead th { position: sticky; top: 0; z-index: 2 }
.tall thead th:first-child { z-index: 3 }
.result tbody tr > * { vertical-align: top }
.result tbody th { line-height: 1.725rem }
.result .value, .result .best { font-size: 1.15rem }
.result .best::before { content: "\\2022"; margin-right: .35em }
.result .interval { display: block; color: var(--soft); font-size: .85rem }
.result .range { display: block; width: 100%; min-width: 7rem; height: 12px; margin-top: .2rem }
.left { text-align: left }
td.note { text-align: left; white-space: normal; min-width: 11rem; color: var(--soft); font-size: .9rem }
.sortable button { font: inherit; color: inherit; background: none; border: 0; padding: .2rem 0; cursor: pointer }
.sortable button::after { content: "\\2195"; opacity: .45; margin-left: .35em }
.sortable [aria-sort=ascending] button::after { content: "\\2191"; opacity: 1 }
.sortable [aria-sort=descending] button::after { content: "\\2193"; opacity: 1 }
.sortable tbody :is(th, td) { padding-top: .3rem; padding-bottom: .3rem; font-weight: 400 }
.sortable td.bar {
  min-width: 9rem;
  background: linear-gradient(to right, var(--c) var(--v), transparent var(--v)) no-repeat;
  background-position: .75rem 50%; background-size: calc(100% - 5rem) .5rem;
}
.spark { display: block; width: 11rem; height: 2.1rem; overflow: visible }
.spark path { fill: none; stroke-width: 1.4; vector-effect: non-scaling-stroke; stroke-linecap: round }

/* plots and their legends */
.plots { display: grid; gap: 2rem; margin-top: 1rem }
.plots { grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)) }
.plots.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 14rem), 1fr)); margin-top: 2rem }
.plot { max-width: 34rem }
.plot > svg { display: block; width: 100%; height: auto; overflow: visible; margin: .4rem 0 .3rem }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .15rem 1.1rem; margin: 0; padding: 0 }
.legend { font-size: .9rem; color: var(--ink) }
.legend b { font-weight: 600 }
.key { width: 1.5rem; height: .625rem; margin-right: .45rem; overflow: visible }
.bars {
  display: grid; grid-template-columns: max-content minmax(4rem, 1fr) max-content; gap: 0 .75rem; align-items: center;
  margin: .75rem 0 0; line-height: 2.1rem;
}
.bars dd { margin: 0 }
.bars dt + dd { border-left: 1px solid var(--soft) }
.bars i { display: block; height: .7rem; margin: .7rem 0; background: var(--s0); min-width: 1px }

/* film strips */
.swatch { width: 1.3rem; height: 1rem; margin-right: .45rem; vertical-align: -.15em; fill: none; background: #59626b }
.strip { margin-top: 1.5rem }
.strip > h3 { margin-bottom: .35rem }
.film { display: flex; gap: .5rem; overflow-x: auto; padding-bottom: .35rem }
.film figure { flex: 1 1 0; min-width: 9rem; max-width: 20rem }
.film img { display: block; width: 100%; height: auto; background: var(--panel) }

/* origin */
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; margin: .75rem 0 0 }
.facts dt { color: var(--soft) }
.facts dd { margin: 0; overflow-wrap: anywhere }
details { margin-top: 1rem }
summary { cursor: pointer }
pre {
  background: var(--panel); padding: .9rem 1rem; margin: .75rem 0 0; overflow: auto; max-height: 32rem;
  font: .85rem/1.5 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (max-width: 40rem) {
  header { padding-top: 1.5rem }
  header, main, footer { padding-left: 1rem; padding-right: 1rem }
  h1 { font-size: 1.5rem }
  section { margin-top: 2.5rem }
  th, td { padding-left: .5rem; padding-right: .5rem }
  .facts { grid-template-columns: 1fr; gap: 0 }
  .facts dd { margin-bottom: .6rem }
  .film figure { min-width: 11rem }
}
@media print {
  .tall { max-height: none; overflow: visible }
  nav, .sortable button::after { display: none }
}
"""
)

# a click sorts upwards, a second one downwards; cells without a value stay last
SORT = """
for (const table of document.querySelectorAll('table.sortable')) {
  const body = table.tBodies[0];
  for (const button of table.querySelectorAll('thead button')) button.addEventListener('click', () => {
    const head = button.closest('th'), sign = head.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
    const value = row => row.cells[head.cellIndex].dataset.value;
    const text = 'text' in head.dataset;
    const order = (a, b) => {
      if (a === '' || b === '') return (a === '') - (b === '');
      return sign * (text ? a.localeCompare(b, 'en', {numeric: true}) : a - b);
    };
    for (const other of table.querySelectorAll('thead th[aria-sort]')) other.setAttribute('aria-sort', 'none');
    head.setAttribute('aria-sort', sign > 0 ? 'ascending' : 'descending');
    body.append(...[...body.rows].sort((a, b) => order(value(a), value(b))));
  });
}
"""
