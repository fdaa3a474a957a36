"""The template of the report of evaluate: one page that needs no network. A module, so that DVC sees it change."""

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'">
<title>Test results: {{ data.title }}</title>
<style>
:root { --ink: #1d2b3a; --line: #d5dce4; --soft: #f3f6f9; --accent: #1f3a5f; --warn: #fff3d6; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1rem; color: var(--ink); background: #fff;
       font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
       overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: .5rem 0 0; } h2 { font-size: 1.25rem; margin: 2.2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; } p { max-width: 46rem; }
.sub { margin: 0 0 1rem; color: #55657a; }
.note { background: var(--warn); border-left: .3rem solid #d99a1c; padding: .6rem .9rem; margin: 1rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; margin: 1rem 0; }
.card { background: var(--soft); border-radius: .4rem; padding: .6rem .8rem; }
.card b { display: block; font-size: 1.45rem; line-height: 1.25; } .card span { font-size: .85rem; color: #55657a; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; margin: .4rem 0; }
th, td { text-align: left; padding: .28rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td, th { overflow-wrap: normal; } .long { min-width: 13rem; } .i, td:first-child:not(.long) { white-space: nowrap; }
th { background: var(--soft); font-weight: 600; } .n { text-align: right; font-variant-numeric: tabular-nums; }
tr.own td { background: #e4eefb; font-weight: 600; }
img { max-width: 100%; height: auto; display: block; }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; color: #55657a; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 1rem 2rem; }
.pictures .whole { grid-column: 1 / -1; overflow-x: auto; }
@media (max-width: 40rem) { .pictures .whole img { max-width: none; width: 42rem; } } /* to be pushed, not shrunk */
.mistakes { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: .8rem; }
.mistake { background: var(--soft); border-radius: .4rem; padding: .6rem .8rem; }
.mistake p { margin: 0 0 .4rem; } .mistake small { color: #55657a; } audio { width: 100%; height: 2.4rem; }
details { margin: .5rem 0; } summary { cursor: pointer; font-weight: 600; }
nav a { margin-right: .9rem; white-space: nowrap; } a { color: #1c5bb0; }
</style>
</head>
<body>
<h1>Test results</h1>
<p class="sub">{{ data.title }}; {{ "synthetic sounds" if data.synthetic else "real recordings" }}. Licence:
{{ data.licence or "not given" }}</p>
<nav><a href="#numbers">Numbers</a> <a href="#published">Published</a> <a href="#pictures">Pictures</a>
<a href="#soundscapes">Soundscapes</a> <a href="#mistakes">Mistakes</a> <a href="#classes">Classes</a>
<a href="#card">Model card</a> <a href="#parameters">Parameters</a></nav>
{% if data.synthetic %}
<p class="note"><b>Synthetic data.</b> These sounds were rendered by code. The numbers show that the pipeline works;
they say nothing about real recordings.</p>
{% endif %}

<h2 id="numbers">Numbers</h2>
{% if scores %}
<div class="cards">
{% for card in cards %}
<div class="card"><span>{{ card.name }}</span><b>{{ card.value }}</b><span>{{ card.note }}</span></div>
{% endfor %}
</div>
<p>{{ tested }} In brackets: 95&nbsp;% intervals, from resampling whole sources, since clips cut from one recording are
alike.</p>
<div class="wide"><table>
<tr><th>score</th><th class="n">clips</th><th>interval</th><th class="n">segments</th>
{% if n_folds > 1 %}<th class="n">deviation of folds</th>{% endif %}<th class="long">what it says</th></tr>
{% for row in scores %}
<tr><td>{{ row.name }}</td><td class="n">{{ row.clips }}</td><td class="i">{{ row.interval }}</td>
<td class="n">{{ row.segments }}</td>{% if n_folds > 1 %}<td class="n">{{ row.deviation }}</td>{% endif %}
<td class="long">{{ row.meaning }}</td></tr>
{% endfor %}
</table></div>
{% else %}
<p>No model has a test fold (<code>split.test_folds</code> is empty), so there is nothing to score.</p>
{% endif %}

<h2 id="published">Beside published results</h2>
{% if data.synthetic %}
<p>Nothing is published on synthetic data to compare with.</p>
{% elif not protocol %}
<p>The repository has no published results for this data.</p>
{% else %}
{% if differences %}
<p class="note"><b>Not to be compared as it stands:</b> the figures below are means over all official folds of
{{ protocol.title }}; this run {{ differences | join("; ") }}.</p>
{% endif %}
<div class="wide"><table>
<tr><th>result</th><th class="n">accuracy</th><th>pretrained</th><th>weights scored</th>
<th class="long">source</th></tr>
{% for row in published %}
<tr{% if row.own %} class="own"{% endif %}><td class="long">{{ row.name }}</td><td class="n">{{ row.accuracy }}</td>
<td>{{ row.pretrained }}</td><td>{{ row.weights }}</td><td class="long">{{ row.source }}</td></tr>
{% endfor %}
</table></div>
<p>Weights that were best on the test fold read too high: an honest run cannot know which these are.</p>
{% endif %}

<h2 id="pictures">Pictures</h2>
<div class="pictures">
{% for picture in pictures %}
<figure{% if picture.whole %} class="whole"{% endif %}><img src="{{ picture.uri }}" alt="{{ picture.text }}">
<figcaption>{{ picture.text }}</figcaption></figure>
{% endfor %}
</div>

<h2 id="soundscapes">Soundscapes</h2>
{% if event_scores %}
<p>What the predict command hears in recordings made of clips of the test folds, one after another at known times over
pink noise. Made recordings are no street: they tell whether times and names come out, not how it will be outside.</p>
<div class="wide"><table>
<tr><th>score</th><th class="n">value</th><th class="long">what it says</th></tr>
{% for row in event_scores %}
<tr><td>{{ row.name }}</td><td class="n">{{ row.value }}</td><td class="long">{{ row.meaning }}</td></tr>
{% endfor %}
</table></div>
<figure><img src="{{ soundscape }}" alt="A soundscape: what sounds, and what is heard.">
<figcaption>The first soundscape: its features, and by class what sounds and what is heard.</figcaption></figure>
<div class="wide"><table>
<tr><th>class</th><th class="n">events</th><th class="n">event F1</th><th class="n">by intersection</th>
<th class="n">second by second</th></tr>
{% for row in events %}
<tr><td>{{ row.name }}</td><td class="n">{{ row.n_events }}</td><td class="n">{{ row.event_f1 }}</td>
<td class="n">{{ row.intersection_f1 }}</td><td class="n">{{ row.second_f1 }}</td></tr>
{% endfor %}
</table></div>
{% else %}
<p>None was made.</p>
{% endif %}

<h2 id="mistakes">Mistakes</h2>
{% if confusions %}
<h3>Which class is taken for which, most often first</h3>
<div class="wide"><table>
<tr><th>true class</th><th>taken for</th><th class="n">clips</th><th class="n">sources</th>
<th class="n">share of the class</th></tr>
{% for row in confusions %}
<tr><td>{{ row.truth }}</td><td>{{ row.predicted }}</td><td class="n">{{ row.n_clips }}</td>
<td class="n">{{ row.n_sources }}</td><td class="n">{{ row.share }}</td></tr>
{% endfor %}
</table></div>
<h3>The {{ mistakes | length }} most confident mistakes of {{ n_mistakes }}, one a source and pair of classes</h3>
<div class="mistakes">
{% for row in mistakes %}
<div class="mistake"><p><b>{{ row.truth }}</b>, taken for <b>{{ row.predicted }}</b> with {{ row.confidence }}<br>
<small>{{ row.clip }}, fold {{ row.fold }}; {{ row.truth }} got {{ row.p_truth }}</small></p>
{% if row.uri %}<audio controls preload="metadata" src="{{ row.uri }}"></audio>
{% else %}<small>{{ row.fault }}</small>{% endif %}
</div>
{% endfor %}
</div>
{% else %}
<p>None.</p>
{% endif %}

<h2 id="classes">Each class</h2>
<div class="wide"><table>
<tr><th>class</th><th class="n">clips</th><th class="n">sources</th><th class="n">recognised</th><th>interval</th>
<th class="n">precision</th><th class="n">F1</th><th class="n">ROC-AUC</th><th class="n">avg. precision</th>
<th>mostly taken for</th></tr>
{% for row in classes %}
<tr><td>{{ row.name }}</td><td class="n">{{ row.n_clips }}</td><td class="n">{{ row.n_sources }}</td>
<td class="n">{{ row.recall }}</td><td class="i">{{ row.interval }}</td><td class="n">{{ row.precision }}</td>
<td class="n">{{ row.f1 }}</td><td class="n">{{ row.roc_auc }}</td><td class="n">{{ row.average_precision }}</td>
<td>{{ row.taken_for }}</td></tr>
{% endfor %}
</table></div>

<h2 id="card">Model card</h2>
<div class="wide"><table>
<tr><th>model</th><td class="long">{{ card.model }}</td></tr>
<tr><th>meant for</th><td class="long">Naming which one of {{ class_names | length }} sounds a short recording holds:
{{ class_names | join(", ") }}. For trying out features, models and data, and as a part of tools that a person
supervises.</td></tr>
<tr><th>not meant for</th><td class="long">Safety, evidence, or watching people. Nothing here was tested for
that.</td></tr>
<tr><th>limits</th><td class="long">One label a clip: several sounds at once are not told apart, and a sound of none of
these classes still gets one of them. It hears nothing {{ card.band }}. Places, microphones and countries that the data
lacks were never tested.{% if data.synthetic %} It was trained on synthetic sounds and is of no use on real
ones.{% endif %}</td></tr>
<tr><th>data</th><td class="long">{{ data.title }}; {{ card.n_clips }} accepted clips in {{ card.n_data_folds }}
folds</td></tr>
<tr><th>licence of the data</th><td class="long">{{ data.licence or "not given" }}</td></tr>
<tr><th>to be cited</th><td class="long">{{ data.citation or "not given" }}</td></tr>
<tr><th>training</th><td class="long">{{ card.training }}</td></tr>
<tr><th>confidence</th><td class="long">{{ card.calibration }}</td></tr>
</table></div>

<h2 id="parameters">Parameters</h2>
{% for name, rows in parameters %}
<details{% if loop.first %} open{% endif %}><summary>{{ name }}</summary>
<div class="wide"><table>
{% for key, value in rows %}<tr><th>{{ key }}</th><td class="long"><code>{{ value }}</code></td></tr>
{% endfor %}</table></div></details>
{% endfor %}
<p class="sub">Not tracked by Git or DVC: made when evaluate runs, from the predictions with the md5
<code>{{ digest }}</code>. The tables behind it are in <code>metrics/evaluate/</code>.</p>
</body>
</html>
"""
