/* SPDX-License-Identifier: Apache-2.0 */
/* The lease protocol of service/jobs and db/generation_store: one generation, N replicas, one provider. What is in it,
 * and what is not, is in README.md. check.sh runs it with these definitions:
 *
 *   KIND       TOKEN (a repeated token makes no second job, Lookup is certain), LIST (Lookup is certain, tokens mean
 *              nothing) or NONE (no Lookup)
 *   REFUSALS   how many submissions the provider may refuse, or fail uncharged after it took them
 *   CRASHES, STALLS, LOSSES   how many of each; a lease of a living replica ends only by a stall
 *   NEVER      a state that must be reached: spin has to find the way there
 *   LATE       a request may reach the provider after its sender's lease ended; Lookup then says "absent" when none can
 *              come any more (over_by_ms and the provider's settling), and a worker takes no Submit that it sees late
 *              (start_by_ms)
 *   BROKEN_*   a variant with one rule left out, for which there must be an error
 */
#define TOKEN 1
#define LIST 2
#define NONE 3
#ifndef KIND
#define KIND TOKEN
#endif
#ifndef N
#define N 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef STALLS
#define STALLS 2
#endif
#ifndef LOSSES
#define LOSSES 2
#endif
#ifndef REFUSALS
#define REFUSALS 0
#endif
#define TOKENS 4
#define NOBODY 255

#define PENDING 1
#define SUBMITTING 2
#define RUNNING 3
#define FETCHING 4
#define STORED 5
#define FAILED 6
#define CANCELED 7
#define UNKNOWN 8
#define terminal(s) (s >= STORED)

/* The row. A replica's lease_seq is only ever compared with the row's: current[i] is "mine equals the row's", which
 * keeps the model finite. */
byte state = PENDING;
bool leased, cancel, late;
byte token;      /* of the last submission, or of the next one when pending */
byte result_key; /* stored: which file */
bool current[N];

/* The provider. */
byte jobs[TOKENS];     /* with this token, not failed */
bool known[TOKENS];    /* it took a job with this token, whatever became of it */
bool finished;         /* the job's result is ready */
byte in_flight[TOKENS]; /* requests that nobody waits for any more */

bool blob[N];  /* the blob store: this file is durable */
#ifdef BROKEN_SHARED_KEY
#define file(who) 0
#else
#define file(who) who /* each fetch has its own key */
#endif
byte owner = NOBODY; /* ghost: who claimed last; nobody: it has died since */
byte crashes = CRASHES, stalls = STALLS, losses = LOSSES, refusals = REFUSALS;

#define all_jobs (jobs[0] + jobs[1] + jobs[2] + jobs[3])

#define all_in_flight (in_flight[0] + in_flight[1] + in_flight[2] + in_flight[3])

inline accept(t)
{
    if
    :: KIND == TOKEN && known[t] -> skip
    :: else -> jobs[t]++; known[t] = true
    fi;
    assert(all_jobs <= 1) /* I3: nothing is paid twice */
}

/* The compare-and-set of vg_generation_change on (id, state, lease_seq). `keep` holds the lease. */
inline write(from, to, keep)
{
#ifdef BROKEN_NO_SEQ
    applied = (state == from);
#else
    applied = (state == from && current[me]);
#endif
    if
    :: applied ->
        assert(owner == me);      /* a stale writer changes nothing */
        assert(!terminal(state)); /* terminal states never change */
#ifdef NEVER
        assert(to != NEVER);
#endif
        state = to;
        leased = keep;
        if
        :: to == STORED -> result_key = file(me); assert(blob[result_key]) /* I6: what is stored is there */
        :: else -> skip
        fi
    :: else -> skip
    fi
}

/* COMMIT's answer may be lost: done, asked again, and recognised as its own. */
#define commit(from, to, keep)                            \
    atomic {                                              \
        write(from, to, keep);                            \
        if                                                \
        :: applied && losses > 0 -> losses--; lost = true \
        :: true -> lost = false                           \
        fi                                                \
    };                                                    \
    if                                                    \
    :: lost -> CRASH_POINT; again(to)                     \
    :: else -> skip                                       \
    fi

inline again(to)
{
    atomic {
        lost = false;
        applied = (state == to && current[me])
    }
}

/* This submission is over: the next one has another token. */
inline next_token(from)
{
    atomic {
        write(from, PENDING, false);
        if
        :: applied -> assert(token < TOKENS - 1); token++
        :: else
        fi
    }
}

/* The process dies here; its memory is gone, what it sent is not. */
#define CRASH_POINT                                        \
    if                                                     \
    :: atomic { crashes > 0 -> crashes--; goto crashed }   \
    :: true                                                \
    fi

#define ANSWERED 1
#define REFUSED 2
#define SILENT 3
#define ABSENT 4
#define CANNOT_TELL 5
#define DONE 6

inline remove()
{
    assert(!(state == STORED && result_key == file(me))); /* a stored result is never lost */
    blob[file(me)] = false
}

/* The request and its answer; a request that is late is delivered by `network`. */
inline submit()
{
    /* never two submissions whose fate is open */
    assert(all_jobs == jobs[mine] && all_in_flight == in_flight[mine]);
    if
    :: atomic { true -> accept(mine); answer = ANSWERED }
    :: atomic { losses > 0 -> losses--; accept(mine); answer = SILENT }
    :: atomic { losses > 0 -> losses--; answer = SILENT }
#ifdef LATE
    :: atomic { losses > 0 -> losses--; in_flight[mine]++; answer = SILENT }
#endif
    :: atomic { refusals > 0 && !known[mine] -> refusals--; answer = REFUSED }
    fi
}

inline look_up()
{
    if
    :: atomic { KIND == NONE -> answer = CANNOT_TELL }
    :: atomic { KIND != NONE && known[mine] -> answer = ANSWERED }
#ifdef BROKEN_EARLY
    :: atomic { KIND != NONE && !known[mine] -> answer = ABSENT }
#else
    :: atomic { KIND != NONE && !known[mine] && all_in_flight == 0 -> answer = ABSENT }
    :: atomic { KIND != NONE && !known[mine] && all_in_flight > 0 -> answer = SILENT }
#endif
    :: atomic { losses > 0 -> losses--; answer = SILENT }
    fi
}

proctype replica(byte me)
{
    byte seen, mine, answer;
    bool applied, lost, canceled, past;

end_idle:
    atomic {
        !terminal(state) && !leased;
        /* vg_generation_claim */
        leased = true;
        owner = me;
#ifndef BROKEN_NO_RAISE
        current[0] = false;
        current[1] = false;
#if N > 2
        current[2] = false;
#endif
#endif
        current[me] = true;
        seen = state;
        mine = token;
        canceled = cancel;
        past = late
    }
    CRASH_POINT;
    if
    :: seen == PENDING -> goto pending
    :: seen == SUBMITTING -> goto find_out
    :: seen == RUNNING -> goto running
    :: seen == FETCHING -> goto fetching
    fi;

pending:
    if
    :: canceled -> commit(PENDING, CANCELED, false); goto let_go
    :: !canceled && past -> commit(PENDING, FAILED, false); goto let_go
    :: else
    fi;
#ifdef BROKEN_SUBMIT_FIRST
    submit();
    CRASH_POINT;
    commit(PENDING, SUBMITTING, true);
    if
    :: !applied -> goto let_go
    :: else
    fi;
#else
    commit(PENDING, SUBMITTING, true);
    if
    :: !applied -> goto let_go
    :: else
    fi;
    CRASH_POINT;
#ifdef BROKEN_NO_CLOCK
    submit();
#elif defined(BROKEN_NO_START_BY)
    if
    :: !(current[me] && leased) -> goto let_go
    :: else
    fi;
    CRASH_POINT; /* and falls asleep again */
    submit();
#else
    /* The sleeper looks at its clock, and the worker at its own. */
    atomic {
        if
        :: !(current[me] && leased) -> goto let_go
        :: else
        fi;
        submit()
    };
#endif
#endif
    CRASH_POINT;
    if
    :: answer == ANSWERED -> commit(SUBMITTING, RUNNING, false); goto let_go
    :: answer == REFUSED -> goto not_submitted
    :: answer == SILENT -> goto find_out
    fi;

not_submitted: /* the next submission has the next token */
    if
    :: canceled -> commit(SUBMITTING, CANCELED, false)
    :: else -> next_token(SUBMITTING)
    fi;
    goto let_go;

find_out:
#ifdef BROKEN_BLIND
    commit(SUBMITTING, PENDING, false);
    goto let_go;
#endif
    look_up();
    CRASH_POINT;
    if
    :: answer == ANSWERED -> commit(SUBMITTING, RUNNING, false)
    :: answer == CANNOT_TELL -> commit(SUBMITTING, UNKNOWN, false)
    :: answer == SILENT -> commit(SUBMITTING, SUBMITTING, false)
    :: answer == ABSENT ->
        if
        :: canceled -> commit(SUBMITTING, CANCELED, false)
        :: !canceled && past -> commit(SUBMITTING, FAILED, false)
        :: else ->
#ifdef BROKEN_NEW_TOKEN
            next_token(SUBMITTING)
#else
            commit(SUBMITTING, PENDING, false)
#endif
        fi
    fi;
    goto let_go;

running:
    if
    :: canceled -> CRASH_POINT; commit(RUNNING, CANCELED, false); goto let_go
    :: else
    fi;
    if
    :: atomic { finished || jobs[mine] == 0 || refusals == 0 -> skip }
    :: atomic { !finished && jobs[mine] > 0 && refusals > 0 -> refusals--; jobs[mine] = 0 } /* failed, not charged */
    fi;
    if
    :: atomic { finished -> answer = DONE }
    :: atomic { !finished && jobs[mine] == 0 -> answer = REFUSED }
    :: atomic { !finished && jobs[mine] > 0 -> answer = SILENT }
    fi;
    CRASH_POINT;
    if
    :: answer == DONE -> commit(RUNNING, FETCHING, true)
    :: answer == SILENT && past -> commit(RUNNING, FAILED, false); goto let_go
    :: answer == SILENT && !past -> commit(RUNNING, RUNNING, false); goto let_go
    :: answer == REFUSED -> next_token(RUNNING); goto let_go
    fi;
    if
    :: !applied -> goto let_go
    :: else
    fi;

fetching:
    CRASH_POINT;
    blob[file(me)] = true; /* durable */
    CRASH_POINT;
    if
    :: true -> commit(FETCHING, STORED, false)
    :: atomic { losses > 0 -> losses--; remove() }; /* looked at, found bad, removed */
        CRASH_POINT;
        commit(FETCHING, FETCHING, false)
    :: atomic { losses > 0 -> losses--; remove() }; commit(FETCHING, FAILED, false) /* the last time */
    fi;

let_go:
    atomic { answer = 0; seen = 0; mine = 0; applied = false; canceled = false; past = false }
    goto end_idle;

crashed:
    atomic {
        if
        :: owner == me -> owner = NOBODY
        :: else
        fi;
        current[me] = false;
        answer = 0; seen = 0; mine = 0; applied = false; lost = false; canceled = false; past = false
    }
    goto end_idle
}

/* A lease that nobody renews runs out; one whose holder is stalled, too. */
proctype clock()
{
end:
    do
#ifndef BROKEN_NO_RESCUE
    :: atomic { leased && owner == NOBODY -> leased = false }
#endif
    :: atomic { leased && owner != NOBODY && stalls > 0 -> stalls--; leased = false }
    od
}

proctype provider()
{
    /* It may never end. */
end:
    if
    :: atomic { all_jobs > 0 -> finished = true }
    fi
}

proctype network()
{
    byte t;
end:
    do
    :: atomic {
        all_in_flight > 0 ->
            t = 0;
            do
            :: in_flight[t] == 0 -> t++
            :: else -> break
            od;
            in_flight[t]--;
            if
            :: true -> accept(t)
            :: true /* lost */
            fi;
            t = 0
       }
    od
}

proctype caller()
{
    if
    :: cancel = true
    :: true
    fi
}

proctype deadline()
{
    late = true
}

init
{
    byte i;
    atomic {
        run clock();
        run provider();
        run network();
        run caller();
        run deadline();
        do
        :: i < N -> run replica(i); i++
        :: else -> break
        od;
        i = 0
    }
}

/* Once crashes, stalls and losses stop (there are so many of each), every generation ends. */
ltl ends { <> terminal(state) }
