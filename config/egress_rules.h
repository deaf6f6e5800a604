/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision about one request of a tenant to a server: the rules of its skep.yaml and those of the operator's skepd.yaml
 * together. Asked for each hop, before a name is looked up. Pure functions; any process.
 */
#pragma once

#include <stddef.h>

#include "common/address_kind.h"
#include "config/allowed_hosts.h"
#include "config/manifest.h"

/* Bytes of a text for the tenant, with its NUL. */
#define FETCH_TEXT_BYTES 768

/* The answers, in the order in which they are looked for; each but FETCH_ALLOWED is a refusal. */
enum fetch_verdict {
    FETCH_ALLOWED,
    FETCH_OFF,             /* the operator's skepd.yaml has no `egress`, or says fetch: off */
    FETCH_BAD_PORT,        /* a port that browsers do not ask either */
    FETCH_NOT_IN_MANIFEST, /* allowed_hosts of skep.yaml */
    FETCH_DENIED,          /* egress.deny */
    FETCH_NOT_IN_CORDON,   /* allowed_hosts of the cordon */
    FETCH_NOT_IN_ALLOW,    /* egress.allow, where the cordon has no list */
    FETCH_VERDICTS,
};

/*
 * Decides about a question. config and cordon: those that count now, so that a reload has its effect on the next request;
 * manifest: that of the version whose request asks. text: for FETCH_ALLOWED "", else a sentence without a dot that says
 * which rule and what was expected, for the tenant's TypeError and the log; printable ASCII, whatever the question holds.
 */
enum fetch_verdict egress_rules_ask(const struct config *config, const struct cordon_config *cordon,
                                    const struct manifest *manifest,
                                    const struct host_question *question,
                                    char text[static FETCH_TEXT_BYTES]);

/* Returns the prefixes that tenants of the cordon may reach although they are not public, and those that they may not reach;
 * borrowed from both, at most EGRESS_ADDRESSES_MAX each. */
struct address_rules egress_rules_addresses(const struct config *config,
                                            const struct cordon_config *cordon);

/* Writes the narrowest rule about a host that allows the question, as it may stand in allowed_hosts: "http://a.test:8080".
 * "" for a question that no rule can allow. Returns rule. */
const char *egress_rules_suggest(const struct host_question *question,
                                 char rule[static HOST_RULE_TEXT_MAX + 1]);

/* Returns a word for metrics and logs: "manifest", "deny". Static. */
const char *fetch_verdict_name(enum fetch_verdict verdict);
