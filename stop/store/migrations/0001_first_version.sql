-- The tables of the first version. Files of that version have no number and may lack some of these,
-- hence IF NOT EXISTS.

CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS programs (
    id TEXT PRIMARY KEY,                -- SHA-256 of the source
    kind TEXT NOT NULL,                 -- 'improver' or 'solution'
    source TEXT NOT NULL,
    created REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS improver_runs (
    key TEXT PRIMARY KEY,               -- e.g. 'round/1' or 'task/knapsack/0/<improver id>'
    level TEXT NOT NULL,                -- 'meta' or 'task'
    round INTEGER,                      -- of the meta level; NULL on tasks
    task TEXT,                          -- NULL on the meta level
    repetition INTEGER,
    improver_id TEXT NOT NULL REFERENCES programs (id),
    initial_id TEXT NOT NULL REFERENCES programs (id),
    result_id TEXT REFERENCES programs (id),
    status TEXT NOT NULL,               -- 'running', then as of an evaluation
    detail TEXT NOT NULL DEFAULT '',
    utility_calls INTEGER NOT NULL DEFAULT 0,
    cpu_seconds REAL NOT NULL DEFAULT 0,
    stdout TEXT NOT NULL DEFAULT '',
    stderr TEXT NOT NULL DEFAULT '',
    started REAL NOT NULL,
    finished REAL
);

CREATE TABLE IF NOT EXISTS lm_calls (
    id INTEGER PRIMARY KEY,
    scope TEXT NOT NULL,                -- improver runs of one scope share responses
    improver_run TEXT NOT NULL REFERENCES improver_runs (key),  -- the one that paid
    request_key TEXT NOT NULL,
    occurrence INTEGER NOT NULL,        -- the same request again, in the same improver run
    model TEXT NOT NULL,
    n INTEGER NOT NULL,
    temperature REAL NOT NULL,
    max_tokens INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    usd REAL,                           -- NULL: no price known
    estimated INTEGER NOT NULL,
    retries INTEGER NOT NULL,
    faults TEXT NOT NULL,               -- JSON list
    started REAL NOT NULL,
    finished REAL NOT NULL,
    system TEXT NOT NULL,               -- long texts come last: sums are read without them
    message TEXT NOT NULL,
    choices TEXT NOT NULL,              -- JSON: [{"text", "finish_reason"}]
    UNIQUE (scope, request_key, n, occurrence)
);

CREATE TABLE IF NOT EXISTS lm_requests (   -- noted before each request is sent
    id INTEGER PRIMARY KEY,
    scope TEXT NOT NULL,
    improver_run TEXT NOT NULL,
    round INTEGER,                      -- that was under way; NULL outside of rounds
    request_key TEXT NOT NULL,
    n INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    state TEXT NOT NULL,                -- 'open', then 'paid' (there is an lm_call), 'free' or
                                        -- 'lost': no response, and it may have been paid for
    lm_call INTEGER REFERENCES lm_calls (id),
    prompt_tokens INTEGER NOT NULL,     -- the upper bound; of a lost one, what counts as spent
    completion_tokens INTEGER NOT NULL,
    usd REAL,                           -- NULL: no price known
    started REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS lm_faults (     -- attempts that brought no usable answer
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    model TEXT NOT NULL,                -- as the user named it
    reason TEXT NOT NULL,               -- '429', '503', 'timeout', 'connection', ...
    detail TEXT NOT NULL,               -- the server's words, redacted
    improver_run TEXT NOT NULL,
    seconds REAL NOT NULL,              -- lost: the attempt, and the pause that followed
    ended INTEGER NOT NULL DEFAULT 0    -- 1: with it the request failed for good
);

CREATE TABLE IF NOT EXISTS executions (
    improver_run TEXT PRIMARY KEY REFERENCES improver_runs (key),
    round INTEGER                       -- under way when it was last executed
);

CREATE TABLE IF NOT EXISTS utility_calls (
    id INTEGER PRIMARY KEY,
    improver_run TEXT NOT NULL REFERENCES improver_runs (key),
    program_id TEXT REFERENCES programs (id),   -- NULL: what was handed in is not a program
    score REAL NOT NULL,
    status TEXT NOT NULL,
    at REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS evaluations (
    key TEXT PRIMARY KEY,               -- HMAC over program, task, split, repetition, isolation
    program_id TEXT NOT NULL REFERENCES programs (id),
    task TEXT NOT NULL,
    split TEXT NOT NULL,
    repetition INTEGER NOT NULL,
    score REAL NOT NULL,
    status TEXT NOT NULL,
    detail TEXT NOT NULL,
    isolation TEXT NOT NULL,
    instances TEXT NOT NULL,            -- JSON: [[score, status, cpu_seconds, detail]]
    events TEXT NOT NULL,               -- JSON: [[kind, level, detail]]
    stdout TEXT NOT NULL,
    stderr TEXT NOT NULL,
    created REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS rounds (
    round INTEGER PRIMARY KEY,          -- 0: the seed improver
    improver_id TEXT REFERENCES programs (id),  -- the candidate; NULL without one
    parent_id TEXT REFERENCES programs (id),
    meta_utility REAL,
    low REAL, high REAL,                -- 95 % interval of meta_utility
    difference REAL,                    -- paired, to the parent's
    difference_low REAL, difference_high REAL,
    accepted INTEGER NOT NULL,
    status TEXT NOT NULL,
    detail TEXT NOT NULL,
    finished REAL NOT NULL
);

CREATE TABLE IF NOT EXISTS samples (    -- of a bypass measurement
    cell TEXT NOT NULL,                 -- which prompt: 'no_warning' or 'warning'
    number INTEGER NOT NULL,            -- 0, 1, ... within the cell
    program_id TEXT REFERENCES programs (id),   -- NULL: the response holds no code
    status TEXT NOT NULL,               -- 'ok', 'unparsable', 'unreadable' or 'no_code'
    level INTEGER NOT NULL,             -- of the program's text
    paper_rule INTEGER NOT NULL,
    cut_off INTEGER NOT NULL,           -- the response ended at the token limit
    findings TEXT NOT NULL,             -- JSON: [{"rule", "level", "line", "evidence"}]
    PRIMARY KEY (cell, number)
);

CREATE TABLE IF NOT EXISTS sample_events (      -- what a sampled program tried when it ran
    program_id TEXT NOT NULL REFERENCES programs (id),
    kind TEXT NOT NULL,
    level INTEGER NOT NULL,
    detail TEXT NOT NULL,               -- of the first of this kind and level
    PRIMARY KEY (program_id, kind, level)
);

CREATE INDEX IF NOT EXISTS lm_calls_by_run ON lm_calls (improver_run, n);
CREATE INDEX IF NOT EXISTS lm_calls_cut_off ON lm_calls (id)
    WHERE instr(choices, '"finish_reason": "length"');
CREATE INDEX IF NOT EXISTS lm_requests_by_state ON lm_requests (state, round);
CREATE INDEX IF NOT EXISTS samples_by_program ON samples (program_id);
CREATE INDEX IF NOT EXISTS utility_calls_by_run ON utility_calls (improver_run);
CREATE INDEX IF NOT EXISTS utility_calls_by_program ON utility_calls (program_id);
CREATE INDEX IF NOT EXISTS evaluations_by_program ON evaluations (program_id);
CREATE INDEX IF NOT EXISTS improver_runs_by_result ON improver_runs (result_id);
CREATE INDEX IF NOT EXISTS improver_runs_by_initial ON improver_runs (initial_id);
CREATE INDEX IF NOT EXISTS programs_by_kind ON programs (kind);
