/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands of an operator about limits and workers on the admin socket. Neither a client's numbers
 * nor a worker's claims do harm there.
 */
#include <sys/mman.h>

#include "admin_fixture.h"
#include "supervisor/placement/placement.h"
#include "supervisor/requests/ledger.h"
#include "supervisor/workers/slots.h"
#include "supervisor/workers/worker.h"

static ProtobufCBinaryData bytes(const void *data, size_t size)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
}

static ProtobufCBinaryData text(const char *string)
{
    return bytes(string, strlen(string));
}

static void note(struct fixture *f, struct tenant *tenant, enum incident_stage stage,
                 unsigned cause)
{
    struct incident incident = {
        .stage = stage,
        .cause = cause,
        .code = ERROR_CPU_REQUEST,
        .limit_milli = 50000,
        .used_milli = 50400,
        .request = 7,
        .worker = 3,
        .pid = 4711,
        .evidence = EVIDENCE_CLAIM,
        .text = "a text",
    };

    incident_note(&f->heart.record, tenant ? &tenant->counted : NULL, &incident);
}

static const Skep__Admin__Answer *ask_incidents(struct fixture *f, int fd, uint64_t after,
                                                ProtobufCBinaryData tenant, uint32_t last)
{
    Skep__Admin__IncidentsRequest request = SKEP__ADMIN__INCIDENTS_REQUEST__INIT;

    request.after = after;
    request.tenant = tenant;
    request.last = last;
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_INCIDENTS, &request);
    const Skep__Admin__Answer *answer = receive(f, fd);
    assert_non_null(answer);
    return answer;
}

static const Skep__Admin__Incidents *get_incidents(struct fixture *f, int fd, uint64_t after,
                                                   const char *tenant, uint32_t last)
{
    const Skep__Admin__Answer *answer = ask_incidents(f, fd, after, text(tenant), last);

    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_INCIDENTS);
    return answer->incidents;
}

static void assert_failure(const Skep__Admin__Answer *answer, const char *words)
{
    assert_non_null(answer);
    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_FAILURE);
    assert_non_null(
        memmem(answer->failure->message.data, answer->failure->message.len, words, strlen(words)));
}

/* ---- incidents */

static void test_incident_of_each_stage_and_cause_is_listed_and_counted(void **state)
{
    struct fixture *f = *state;
    struct tenant *tenant = add_tenant(f, "a");
    Skep__Admin__TenantsRequest request = SKEP__ADMIN__TENANTS_REQUEST__INIT;
    const size_t all = (size_t) INCIDENT_STAGES * CAUSES;

    open_admin(f);
    for (unsigned stage = 0; stage < INCIDENT_STAGES; stage++)
        for (unsigned cause = 0; cause < CAUSES; cause++)
            note(f, tenant, (enum incident_stage) stage, cause);
    int fd = connect_to(f->path);
    const Skep__Admin__Incidents *list = get_incidents(f, fd, 0, "", 0);
    assert_int_equal(list->n_incidents, all);
    assert_int_equal(list->total, all);
    for (size_t i = 0; i < all; i++) {
        const Skep__Admin__Incident *incident = list->incidents[i];
        assert_int_equal(incident->number, i + 1);
        assert_true(is_text(incident->stage, incident_stage_name((unsigned) (i / CAUSES))));
        assert_true(is_text(incident->cause, incident_cause_name((unsigned) (i % CAUSES))));
        assert_true(is_text(incident->unit, incident_cause_unit((unsigned) (i % CAUSES))));
        assert_true(incident->time_ms > 0);
        assert_int_equal(incident->limit_milli, 50000);
        assert_int_equal(incident->used_milli, 50400);
        assert_true(is_text(incident->code, "cpu_request"));
        assert_true(is_text(incident->evidence, "claim"));
        assert_true(is_text(incident->tenant, "a"));
        assert_true(is_text(incident->text, "a text"));
        assert_int_equal(incident->worker, 3);
        assert_int_equal(incident->pid, 4711);
        assert_int_equal(incident->request, public_id(&f->heart.record.ids, 7));
    }
    assert_int_equal(ask_stats(f, fd)->stats->n_incidents, all);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_TENANTS, &request);
    const Skep__Admin__Tenant *shown = receive(f, fd)->tenants->tenants[0];
    assert_int_equal(shown->n_incidents, all);
    assert_true(is_text(shown->incidents[0]->stage, "observed"));
    assert_int_equal(shown->incidents[0]->count, 1);
    (void) close(fd);
}

static void test_last_incidents_are_kept_and_told_apart_by_tenant(void **state)
{
    enum { NOTED = INCIDENTS_KEPT + 44 };
    struct fixture *f = *state;
    struct tenant *a = add_tenant(f, "a");

    (void) add_tenant(f, "quiet");
    open_admin(f);
    for (unsigned i = 0; i < NOTED; i++)
        note(f, i % 4 == 0 ? a : NULL, STAGE_KILLED, CAUSE_CRASH);
    int fd = connect_to(f->path);
    const Skep__Admin__Incidents *list = get_incidents(f, fd, 0, "", 0);
    assert_int_equal(list->n_incidents, INCIDENTS_KEPT);
    assert_int_equal(list->incidents[0]->number, NOTED - INCIDENTS_KEPT + 1);
    assert_int_equal(list->incidents[INCIDENTS_KEPT - 1]->number, NOTED);
    list = get_incidents(f, fd, 0, "a", 0);
    assert_int_equal(list->n_incidents, INCIDENTS_KEPT / 4);
    list = get_incidents(f, fd, 0, "", 2);
    assert_int_equal(list->n_incidents, 2);
    assert_int_equal(list->incidents[0]->number, NOTED - 1);
    list = get_incidents(f, fd, NOTED - 1, "", 0);
    assert_int_equal(list->n_incidents, 1);
    assert_int_equal(list->total, INCIDENTS_KEPT);
    assert_int_equal(get_incidents(f, fd, 0, "quiet", 0)->n_incidents, 0);
    (void) close(fd);
}

static void test_incidents_of_nobody_fail_and_those_of_a_tenant_that_is_gone_do_not(void **state)
{
    struct fixture *f = *state;
    struct tenant gone = { .tenants = f->heart.tenants, .name = (char *) (uintptr_t) "gone" };

    counted_init(&gone.counted, &f->heart.record, gone.name);
    open_admin(f);
    note(f, &gone, STAGE_STOPPED, LIMIT_INDEX(cpu_ms));
    int fd = connect_to(f->path);
    assert_int_equal(get_incidents(f, fd, 0, "gone", 0)->n_incidents, 1);
    assert_failure(ask_incidents(f, fd, 0, text("nobody"), 0), "no such tenant");
    assert_failure(ask_incidents(f, fd, 0, bytes("gone\0", 5), 0), "no such tenant");
    assert_failure(ask_incidents(f, fd, 0, bytes("\xff\x1b[2J", 5), 0), "no such tenant");
    (void) close(fd);
}

static void test_numbers_beyond_all_incidents_give_an_empty_page(void **state)
{
    struct fixture *f = *state;

    open_admin(f);
    int fd = connect_to(f->path);
    assert_int_equal(get_incidents(f, fd, 0, "", UINT32_MAX)->n_incidents, 0);
    note(f, NULL, STAGE_KILLED, CAUSE_CRASH);
    assert_int_equal(get_incidents(f, fd, UINT64_MAX, "", UINT32_MAX)->n_incidents, 0);
    assert_int_equal(get_incidents(f, fd, 0, "", UINT32_MAX)->n_incidents, 1);
    (void) close(fd);
}

static void test_tenants_with_every_counter_are_all_listed(void **state)
{
    enum { TENANTS = 600 };
    struct fixture *f = *state;
    Skep__Admin__TenantsRequest request = SKEP__ADMIN__TENANTS_REQUEST__INIT;
    char name[32];

    open_admin(f);
    for (unsigned i = 0; i < TENANTS; i++) {
        (void) snprintf(name, sizeof name, "tenant-%u", i);
        struct tenant *tenant = add_tenant(f, name);
        memset(&tenant->counted.incidents, 0xff, sizeof tenant->counted.incidents);
        memset(tenant->counted.counters.errors, 0xff, sizeof tenant->counted.counters.errors);
    }
    int fd = connect_to(f->path);
    for (size_t n = 1; n > 0; request.skip += (uint32_t) n) {
        send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_TENANTS, &request);
        const Skep__Admin__Answer *answer = receive(f, fd);
        assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_TENANTS);
        n = answer->tenants->n_tenants;
    }
    assert_int_equal(request.skip, TENANTS);
    (void) close(fd);
}

/* ---- quarantine, release, retire */

static const Skep__Admin__Answer *ask_quarantine(struct fixture *f, int fd,
                                                 ProtobufCBinaryData name, uint64_t seconds)
{
    Skep__Admin__QuarantineRequest request = SKEP__ADMIN__QUARANTINE_REQUEST__INIT;

    request.name = name;
    request.seconds = seconds;
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_QUARANTINE, &request);
    return receive(f, fd);
}

static void test_quarantine_takes_a_time_and_no_nonsense(void **state)
{
    struct fixture *f = *state;
    struct tenant *tenant = add_tenant(f, "a");

    open_admin(f);
    int fd = connect_to(f->path);
    assert_failure(ask_quarantine(f, fd, text("a"), UINT64_MAX), "365 days");
    assert_failure(ask_quarantine(f, fd, text("a"), UINT64_C(365) * 86400 + 1), "365 days");
    assert_failure(ask_quarantine(f, fd, text("nobody"), 1), "no such tenant");
    assert_failure(ask_quarantine(f, fd, text(""), 1), "no such tenant");
    assert_failure(ask_quarantine(f, fd, bytes("a\0", 2), 1), "no such tenant");
    assert_int_equal(tenant->conduct.quarantined_until_ns, 0);
    const Skep__Admin__Answer *answer = ask_quarantine(f, fd, text("a"), UINT64_C(365) * 86400);
    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_QUARANTINED);
    assert_false(answer->quarantined->was_quarantined);
    assert_in_range(conduct_retry_after_s(&tenant->conduct, io_now_ns()), 31535000, 31536000);
    answer = ask_quarantine(f, fd, text("a"), 0);
    assert_true(answer->quarantined->was_quarantined);
    assert_int_equal(conduct_retry_after_s(&tenant->conduct, io_now_ns()), UINT32_MAX);
    (void) close(fd);
}

static void test_release_of_nobody_fails(void **state)
{
    struct fixture *f = *state;
    Skep__Admin__ReleaseRequest request = SKEP__ADMIN__RELEASE_REQUEST__INIT;

    open_admin(f);
    int fd = connect_to(f->path);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_RELEASE, &request);
    assert_failure(receive(f, fd), "no such tenant");
    request.name = text("nobody");
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_RELEASE, &request);
    assert_failure(receive(f, fd), "no such tenant");
    (void) close(fd);
}

static const Skep__Admin__Answer *ask_retire(struct fixture *f, int fd, const char *cordon,
                                             bool one_slot, uint32_t slot)
{
    Skep__Admin__RetireRequest request = SKEP__ADMIN__RETIRE_REQUEST__INIT;

    request.cordon = text(cordon);
    request.one_slot = one_slot;
    request.slot = slot;
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_RETIRE, &request);
    return receive(f, fd);
}

static void test_retire_of_what_is_not_there_fails(void **state)
{
    struct fixture *f = *state;

    open_admin(f);
    int fd = connect_to(f->path);
    assert_failure(ask_retire(f, fd, "nothing", false, 0), "no such cordon");
    assert_failure(ask_retire(f, fd, "default", true, UINT32_MAX), "no worker in that slot");
    assert_failure(ask_retire(f, fd, "", true, 0), "name the cordon");
    const Skep__Admin__Answer *answer = ask_retire(f, fd, "", false, 9);
    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_RETIRED);
    assert_int_equal(answer->retired->workers, 0);
    (void) close(fd);
}

static void test_commands_that_are_broken_close_only_that_client(void **state)
{
    struct fixture *f = *state;

    open_admin(f);
    int good = connect_to(f->path);
    for (uint8_t field = 7; field <= 10; field++) {
        const uint8_t broken[][8] = {
            /* longer than the frame; a length without end; a field that is neither text nor number */
            { 4, 0, 0, 0, (uint8_t) (field << 3 | 2), 5, 1, 1 },
            { 4, 0, 0, 0, (uint8_t) (field << 3 | 2), 0xff, 0xff, 0xff },
            { 4, 0, 0, 0, (uint8_t) (field << 3 | 2), 2, 0x0f, 0 },
        };
        for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
            int bad = connect_to(f->path);
            assert_int_equal(send(bad, broken[i], sizeof broken[i], MSG_NOSIGNAL),
                             sizeof broken[i]);
            f->have = f->used = 0;
            assert_null(receive(f, bad));
            (void) close(bad);
            assert_non_null(ask_stats(f, good));
        }
    }
    (void) close(good);
}

/* ---- claims of a worker */

struct lone_worker {
    struct worker *worker;
    struct manifest manifest;
    struct version version;
    struct placement *placement;
};

/* Makes a worker, without a process, in which a version of the tenant is. */
static void make_worker(struct fixture *f, struct tenant *tenant, struct lone_worker *ret)
{
    const struct cordon_config *cordon = f->heart.config->cordons[0];

    *ret = (struct lone_worker){ .worker = worker_new(f->heart.slots, cordon, 0) };
    assert_non_null(ret->worker);
    ret->worker->state = WORKER_READY;
    ret->worker->pid = getpid();
    ret->worker->cpu_clock = CLOCK_PROCESS_CPUTIME_ID;
    ret->worker->board =
        mmap(NULL, SCOREBOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(ret->worker->board, MAP_FAILED);
    struct slot *slot = slots_add(f->heart.slots, cordon, SLOT_SHARED);
    assert_non_null(slot);
    slots_put(f->heart.slots, slot, ret->worker);
    ret->manifest.cordon = cordon->name;
    ret->version = (struct version){
        .id = 5,
        .tenant = tenant,
        .manifest = &ret->manifest,
        .cordon = cordon,
        .refs = 1,
        .limits = { .heap_mib = 10, .external_mib = LIMIT_UNLIMITED },
    };
    LIST_INIT(&ret->version.placements);
    tenant->version = &ret->version;
    assert_int_equal(placement_new(&ret->version, ret->worker, &ret->placement), 0);
    ret->placement->state = PLACEMENT_READY;
}

static void drop_worker(struct fixture *f, struct lone_worker *worker)
{
    worker->version.tenant->version = NULL;
    f->heart.slots = slots_free(f->heart.slots);
}

static const Skep__Admin__Worker *ask_worker(struct fixture *f, int fd)
{
    Skep__Admin__WorkersRequest request = SKEP__ADMIN__WORKERS_REQUEST__INIT;

    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_WORKERS, &request);
    const Skep__Admin__Answer *answer = receive(f, fd);
    assert_int_equal(answer->message_case, SKEP__ADMIN__ANSWER__MESSAGE_WORKERS);
    assert_int_equal(answer->workers->n_workers, 1);
    return answer->workers->workers[0];
}

static void test_claims_on_what_runs_are_shown_only_if_they_can_be_true(void **state)
{
    struct fixture *f = *state;
    struct tenant *tenant = add_tenant(f, "a");
    struct lone_worker worker;

    open_admin(f);
    make_worker(f, tenant, &worker);
    struct scoreboard *board = worker.worker->board;
    int fd = connect_to(f->path);
    atomic_store(&board->threads[0].running_placement,
                 worker.placement->id + 1); /* no tenant's number */
    atomic_store(&board->threads[0].running_request, 9);
    const Skep__Admin__Worker *shown = ask_worker(f, fd);
    assert_int_equal(shown->running_tenant.len, 0);
    assert_int_equal(shown->running_request, 0);
    atomic_store(&board->threads[0].running_placement, worker.placement->id);
    atomic_store(&board->threads[0].running_since_ns, UINT64_MAX);
    shown = ask_worker(f, fd);
    assert_true(is_text(shown->running_tenant, "a"));
    assert_int_equal(shown->running_request, 0); /* the ledger has no such request */
    assert_int_equal(shown->running_ms, 0);
    atomic_store(&board->threads[0].running_since_ns, 0);
    shown = ask_worker(f, fd);
    assert_true(shown->running_ms < 60000);
    struct attempt attempt = { .id = 9, .placement = worker.placement };
    worker.worker->attempts[9] = &attempt;
    assert_int_equal(ask_worker(f, fd)->running_request, public_id(&f->heart.record.ids, 9));
    attempt.placement = NULL; /* another tenant's */
    assert_int_equal(ask_worker(f, fd)->running_request, 0);
    worker.worker->attempts[9] = NULL;
    drop_worker(f, &worker);
    (void) close(fd);
}

static void test_claims_on_memory_are_cut_and_add_up_the_same_everywhere(void **state)
{
    struct fixture *f = *state;
    struct tenant *tenant = add_tenant(f, "a");
    Skep__Admin__TenantsRequest request = SKEP__ADMIN__TENANTS_REQUEST__INIT;
    const uint64_t heap = UINT64_C(20) << 10, external = UINT32_MAX;
    struct lone_worker worker;

    open_admin(f);
    make_worker(f, tenant, &worker);
    struct scoreboard_placement *claim = &worker.worker->board->placements[worker.placement->row];
    atomic_store(&claim->heap_kib, UINT32_MAX);
    atomic_store(&claim->external_kib, UINT32_MAX);
    int fd = connect_to(f->path);
    assert_int_equal(ask_worker(f, fd)->memory_kib, 0); /* the row's isolate of before */
    atomic_store(&claim->placement, worker.placement->id);
    const Skep__Admin__Worker *shown = ask_worker(f, fd);
    assert_int_equal(shown->heap_kib, heap);
    assert_true(shown->external_kib <= external);
    uint64_t memory = shown->memory_kib;
    assert_int_equal(memory, shown->heap_kib + shown->external_kib + shown->bodies_kib);
    assert_int_equal(ask_stats(f, fd)->stats->memory_kib, memory);
    send_command(fd, SKEP__ADMIN__COMMAND__MESSAGE_TENANTS, &request);
    assert_int_equal(receive(f, fd)->tenants->tenants[0]->memory_kib, memory);
    drop_worker(f, &worker);
    (void) close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_incident_of_each_stage_and_cause_is_listed_and_counted),
        TEST(test_last_incidents_are_kept_and_told_apart_by_tenant),
        TEST(test_incidents_of_nobody_fail_and_those_of_a_tenant_that_is_gone_do_not),
        TEST(test_numbers_beyond_all_incidents_give_an_empty_page),
        TEST(test_tenants_with_every_counter_are_all_listed),
        TEST(test_quarantine_takes_a_time_and_no_nonsense),
        TEST(test_release_of_nobody_fails),
        TEST(test_retire_of_what_is_not_there_fails),
        TEST(test_commands_that_are_broken_close_only_that_client),
        TEST(test_claims_on_what_runs_are_shown_only_if_they_can_be_true),
        TEST(test_claims_on_memory_are_cut_and_add_up_the_same_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
