"""The elements of HTML, by whether one ends a word."""

INLINE = frozenset(
    "a abbr b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q s samp small span strike strong "
    "sub sup time tt u var wbr".split()
)
"""Elements that do not end a word: highlighters split names between them."""
BLOCK = frozenset(
    "address article aside blockquote body br button caption center col colgroup dd details div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html iframe img input legend li link main meta nav "
    "object ol option p pre section select summary table tbody td textarea tfoot th thead title tr ul".split()
)
