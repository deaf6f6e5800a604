/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of skepd.yaml, and of a cordon in it. Const data.
 */
#pragma once

#include "config/config.h"
#include "config/keys.h"

extern const struct key_table config_keys;       /* rows of struct config */
extern const struct key_table cordon_keys;       /* rows of struct cordon_config */
extern const struct key_table given_secret_keys; /* rows of an entry of secrets.given */

/* Readers of rows whose values need more than the reader of their kind; config_readers.c. */
int config_read_listen(const struct key_reading *reading, const struct key *key,
                       const struct yaml_node *node, void *base);
int config_read_path(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base);
int config_read_socket(const struct key_reading *reading, const struct key *key,
                       const struct yaml_node *node, void *base);
int config_read_metrics(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base);
int config_read_host(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base);
int config_read_proxies(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base);
int config_read_fetch(const struct key_reading *reading, const struct key *key,
                      const struct yaml_node *node, void *base);
int config_read_program(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base);
int config_read_dns(const struct key_reading *reading, const struct key *key,
                    const struct yaml_node *node, void *base);
int config_read_addresses(const struct key_reading *reading, const struct key *key,
                          const struct yaml_node *node, void *base);
void config_print_addresses(const struct key *key, const void *base, FILE *file);
int config_read_storage(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base);
int config_read_layers(const struct key_reading *reading, const struct key *key,
                       const struct yaml_node *node, void *base);
int config_read_cordons(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base);
/* config_secrets.c */
int config_read_credential(const struct key_reading *reading, const struct key *key,
                           const struct yaml_node *node, void *base);
int config_read_given(const struct key_reading *reading, const struct key *key,
                      const struct yaml_node *node, void *base);
void config_print_given(const struct key *key, const void *base, FILE *file);
void config_secrets_done(struct secrets_config *secrets); /* frees what the rows do not own */
int cordon_read_name(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base);
int cordon_read_workers(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base);
int cordon_read_solitary(const struct key_reading *reading, const struct key *key,
                         const struct yaml_node *node, void *base);
void cordon_print_workers(const struct key *key, const void *base, FILE *file);
