#!/usr/bin/env python3
"""Fits the character of simulated clusters to public traces (standard library only, about a minute).

    python3 scripts/traces/fit.py $AUGUR_SHARED/traces > config/shapes/fitted.csv

Standard output is the table of usage shapes that `augur_sandbox::sim` is built with; standard error tells the figures that
`crates/augur/src/bench/placement/world` takes over by hand (docs/scenarios.md lists them).
"""

import collections
import csv
import datetime
import gzip
import math
import sys
from pathlib import Path

PROBABILITIES = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0]


def quantiles(values, probabilities=PROBABILITIES):
    ordered = sorted(values)
    out = []
    for p in probabilities:
        at = p * (len(ordered) - 1)
        low = int(at)
        high = min(low + 1, len(ordered) - 1)
        out.append(ordered[low] + (ordered[high] - ordered[low]) * (at - low))
    return out


def mean(values):
    return sum(values) / len(values)


def memory_of_noise(series):
    """How many samples a value is held, so that the correlation of neighbours is that of the series."""
    m = mean(series)
    variance = sum((x - m) ** 2 for x in series)
    if variance < 1e-9:
        return 1.0
    lag = sum((a - m) * (b - m) for a, b in zip(series, series[1:])) / variance
    return 1.0 / (1.0 - min(max(lag, 0.0), 0.98))


def classes(kind, members, outer, inner, step_minutes):
    """Members sorted by mean into `outer` groups and by their 99th percentile into `inner`; the quantile functions of a
    group are averaged, geometrically because their tails differ by powers."""
    members = sorted(members, key=mean)
    size = math.ceil(len(members) / outer)
    number = 0
    for at in range(0, len(members), size):
        group = sorted(members[at : at + size], key=lambda series: quantiles(series, [0.99])[0])
        part = math.ceil(len(group) / inner)
        for start in range(0, len(group), part):
            some = group[start : start + part]
            tables = [quantiles(series) for series in some]
            table = [math.exp(mean([math.log(max(x, 1e-4)) for x in column])) for column in zip(*tables)]
            hold = quantiles([memory_of_noise(series) for series in some], [0.5])[0] * step_minutes
            print(f"{kind},{number},{len(some) / len(members):.5f},{hold:.0f}," + ",".join(f"{x:.4f}" for x in table))
            number += 1


def pooled(kind, members):
    all_values = [x for series in members for x in series]
    table = quantiles(all_values)
    print(f"{kind}-trace,0,1,0," + ",".join(f"{x:.4f}" for x in table))


def bitbrains(folder):
    """CPU as a share of the request that the day before would have suggested: its 90th percentile and 15 % more, as the
    Vertical Pod Autoscaler recommends. Machines that are all but idle (below 2 % of their cores) are left out."""
    caps = {row["vm"]: float(row["cap_mhz"]) for row in csv.DictReader(open(folder / "vms.csv"))}
    days = collections.defaultdict(dict)
    with gzip.open(folder / "usage_5min_14d.csv.gz", "rt") as text:
        for row in csv.reader(text):
            if row[0] != "vm":
                slot = int(row[1])
                days[row[0], slot // 288].setdefault(slot, float(row[2]))
    members = []
    for (vm, day), series in sorted(days.items(), key=lambda item: (int(item[0][0]), item[0][1])):
        before = days.get((vm, day - 1), {})
        if len(series) < 280 or len(before) < 280 or caps[vm] <= 0:
            continue
        request = 1.15 * quantiles(before.values(), [0.9])[0]
        if request >= 0.02 * caps[vm]:
            members.append([x / request for _, x in sorted(series.items())])
    print(f"bitbrains: {len(members)} machine-days, mean share of the request {mean([mean(m) for m in members]):.3f}", file=sys.stderr)
    classes("cpu", members, 8, 4, 5.0)
    pooled("cpu", members)


def genai(folder):
    pods = collections.defaultdict(list)
    with gzip.open(folder / "pod_memory_util.csv.gz", "rt") as text:
        for row in csv.DictReader(text):
            pods[row["pod"]].append((float(row["t"]), float(row["value"])))
    members = [[value for _, value in sorted(series)] for series in pods.values() if len(series) >= 200]
    print(f"genai: {len(members)} pods, mean share of memory {mean([mean(m) for m in members]):.3f}", file=sys.stderr)
    classes("memory", members, 8, 2, 0.95)
    pooled("memory", members)


def lanl(file):
    nodes, sizes, causes, downs = collections.defaultdict(list), {}, collections.Counter(), []
    kinds = ["Hardware", "Software", "Undetermined", "Network", "Facilities", "Human Error"]
    with gzip.open(file, "rt") as text:
        for row in csv.DictReader(text):
            try:
                at = datetime.datetime.strptime(row["Prob Started"], "%m/%d/%Y %H:%M")
            except ValueError:
                continue
            cause = next((kind for kind in kinds if row[kind].strip()), None)
            nodes[row["System"], row["nodenumz"]].append((at, cause))
            sizes[row["System"]] = int(row["nodes"] or 0)
            causes[cause] += 1
            try:
                downs.append(float(row["Down Time"]))
            except ValueError:
                pass
    shapes, shares = [], []
    for system, size in sizes.items():
        counts = [len(events) for (of, _), events in nodes.items() if of == system]
        size = max(size, len(counts))
        if size < 40 or sum(counts) < 2 * size:
            continue
        counts = sorted(counts + [0] * (size - len(counts)), reverse=True)
        m = mean(counts)
        variance = sum((x - m) ** 2 for x in counts) / (size - 1)
        shapes.append(m * m / (variance - m))
        shares.append(sum(counts[: max(1, round(0.05 * size))]) / sum(counts))
    gaps, same, pairs = [], 0, 0
    for events in nodes.values():
        events.sort(key=lambda event: event[0])
        same += sum(a[1] == b[1] for a, b in zip(events, events[1:]))
        pairs += len(events) - 1
        if len(events) < 10:
            continue
        own = [(b[0] - a[0]).total_seconds() for a, b in zip(events, events[1:])]
        own = [gap / mean(own) for gap in own if gap > 0]
        gaps.extend(own)
    low, median, high = quantiles(downs, [0.25, 0.5, 0.9])
    total = sum(causes.values())
    chance = sum((n / total) ** 2 for n in causes.values())
    print(
        f"lanl: gamma shape of a node's rate, by system: {[round(x, 2) for x in sorted(shapes)]}; the worst 5 % hold "
        f"{[round(x, 2) for x in sorted(shares)]}; Weibull shape of gaps {weibull(gaps):.2f}; down time {low:.0f}/{median:.0f}/"
        f"{high:.0f} min (25/50/90 %), sd of its logarithm {math.log(high / median) / 1.2816:.2f}; causes "
        f"{ {str(kind): round(n / total, 3) for kind, n in causes.items()} }; same cause as before {same / pairs:.2f} "
        f"(by chance {chance:.2f})",
        file=sys.stderr,
    )


def weibull(values):
    shape = 1.0
    logs = [math.log(x) for x in values]
    for _ in range(50):
        powers = [x**shape for x in values]
        a = sum(p * l for p, l in zip(powers, logs))
        b = sum(powers)
        c = sum(p * l * l for p, l in zip(powers, logs))
        shape -= (a / b - 1 / shape - mean(logs)) / ((c * b - a * a) / b / b + 1 / shape / shape)
    return shape


def supercloud(file):
    users, spans = collections.defaultdict(lambda: [0, 0]), []
    for row in csv.DictReader(open(file)):
        if row["state"] != "CANCELLED":
            users[row["user"]][0] += 1
            users[row["user"]][1] += row["state"] != "COMPLETED"
            spans.append(math.log(max(1, int(row["end"]) - int(row["start"]))))
    jobs = sum(n for n, _ in users.values())
    rate = sum(x for _, x in users.values()) / jobs
    some = [(n, x) for n, x in users.values() if n >= 5]
    between = (sum(n * (x / n - rate) ** 2 for n, x in some) - len(some) * rate * (1 - rate)) / sum(n for n, _ in some)
    strength = rate * (1 - rate) / between - 1
    failures = sorted((x for _, x in users.values()), reverse=True)
    popular = sorted((n for n, _ in users.values()), reverse=True)
    m = mean(spans)
    print(
        f"mit_supercloud: {rate:.3f} of jobs fail; a submitter's rate is Beta({rate * strength:.2f}, {(1 - rate) * strength:.2f}); "
        f"the worst 5 % of submitters hold {sum(failures[: len(failures) // 20]) / sum(failures):.2f} of failures; the 30 busiest "
        f"submit {sum(popular[:30]) / jobs:.2f}; sd of the logarithm of run time {math.sqrt(mean([(x - m) ** 2 for x in spans])):.2f}",
        file=sys.stderr,
    )


def main():
    root = Path(sys.argv[1])
    print("kind,class,weight,hold_minutes," + ",".join(f"q{p:g}" for p in PROBABILITIES))
    bitbrains(root / "bitbrains_rnd")
    genai(root / "alibaba_genai_pods")
    lanl(root / "lanl" / "lanl_1996_2005.csv.gz")
    supercloud(root / "mit_supercloud" / "jobs.csv")


main()
