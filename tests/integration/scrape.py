# SPDX-License-Identifier: Apache-2.0
"""A scrape, as Prometheus does it: asks for the metrics, and reads them with Prometheus' own parser."""

from client import Connection


class Metrics:
    """One scrape, checked by Prometheus' own parser."""

    def __init__(self, text):
        # Not above: the help of a benchmark that scrapes needs no such package.
        from prometheus_client.parser import text_string_to_metric_families

        self.text = text
        self.families = list(text_string_to_metric_families(text))
        self.samples = {}
        for family in self.families:
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in self.samples, f"{key} is there twice"
                self.samples[key] = sample.value

    def get(self, name, **labels):
        return self.samples[(name, tuple(sorted(labels.items())))]

    def has(self, name, **labels):
        return (name, tuple(sorted(labels.items()))) in self.samples

    def labels(self, label):
        return {value for _, labels in self.samples for key, value in labels if key == label}


def ask(port, method="GET", path="/metrics", **options):
    with Connection(("127.0.0.1", port), **options) as connection:
        return connection.request(method, "metrics", path)


def scrape(port):
    answer = ask(port)
    assert answer.status == 200
    return Metrics(answer.body.decode())
