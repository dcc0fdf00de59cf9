"""The tables of the history, as the list of steps that made them."""

# append only: a database made by an older version is brought up by the entries it lacks
MIGRATIONS = (
    """
    CREATE TABLE files (          -- the ledger: each content of each input file, once
        id INTEGER PRIMARY KEY AUTOINCREMENT,  -- grows with every file, for ever
        name TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('ingested', 'rejected')), reason TEXT,
        -- how many were read, new in finaldata.csv, known, set aside; and where they lie there
        rows INTEGER NOT NULL, added INTEGER NOT NULL, duplicates INTEGER NOT NULL,
        rejected INTEGER NOT NULL, start_byte INTEGER NOT NULL, end_byte INTEGER NOT NULL,
        -- when a drift check saw its rows, and when the reports that follow were written
        recorded_at TEXT NOT NULL, judged_at TEXT, reported_at TEXT,
        current INTEGER NOT NULL DEFAULT 1  -- 0: the file has other content now
    );
    CREATE UNIQUE INDEX files_current ON files (name) WHERE current = 1;
    CREATE INDEX files_rejected ON files (id) WHERE current = 1 AND status = 'rejected';
    CREATE INDEX files_pending ON files (id) WHERE reported_at IS NULL;
    CREATE TABLE rejected_rows (
        file_id INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE, line INTEGER NOT NULL,
        reason TEXT NOT NULL, row TEXT NOT NULL
    );
    CREATE INDEX rejected_rows_file ON rejected_rows (file_id);
    CREATE TABLE master (         -- one row: how much of finaldata.csv counts
        id INTEGER PRIMARY KEY CHECK (id = 1), bytes INTEGER NOT NULL, rows INTEGER NOT NULL,
        rebuilding INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO master (id, bytes, rows) VALUES (1, 0, 0);
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY, command TEXT NOT NULL, started_at TEXT NOT NULL,
        ended_at TEXT,            -- null while it runs, and for ever if it was killed
        outcome TEXT CHECK (outcome IN ('done', 'failed')), detail TEXT
    );
    CREATE TABLE scores (
        id INTEGER PRIMARY KEY, at TEXT NOT NULL, model_sha256 TEXT NOT NULL,
        data TEXT NOT NULL,       -- 'test data' or 'new rows'
        rows INTEGER NOT NULL, f1 REAL, accuracy REAL, precision REAL, recall REAL, roc_auc REAL,
        average_precision REAL, log_loss REAL, brier REAL
    );
    CREATE INDEX scores_model ON scores (model_sha256, data);
    CREATE TABLE decisions (
        -- the names judged, a JSON array, and how many new rows
        id INTEGER PRIMARY KEY, at TEXT NOT NULL, files TEXT NOT NULL, rows INTEGER NOT NULL,
        -- what was live, its latestscore.txt, and its F1 on the new rows
        labelled INTEGER NOT NULL, release TEXT, deployed_f1 REAL, new_f1 REAL,
        verdict TEXT NOT NULL,    -- 'nothing deployed', 'no drift', 'drift', 'no evidence'
        champion_f1 REAL, challenger_f1 REAL,  -- on the same rows, after drift
        action TEXT NOT NULL,     -- 'deployed' or 'kept'
        reason TEXT NOT NULL, new_release TEXT
    );
    CREATE TABLE deployments (
        id INTEGER PRIMARY KEY, at TEXT NOT NULL, release TEXT NOT NULL,
        action TEXT NOT NULL CHECK (action IN ('deploy', 'rollback')), f1 REAL NOT NULL
    );
    CREATE TABLE timings (
        id INTEGER PRIMARY KEY, at TEXT NOT NULL, stage TEXT NOT NULL, seconds REAL NOT NULL,
        rows INTEGER NOT NULL
    );
    CREATE INDEX timings_stage ON timings (stage, id);
    CREATE TABLE missing (
        at TEXT NOT NULL, position INTEGER NOT NULL, column_name TEXT NOT NULL,
        percent REAL NOT NULL
    );
    CREATE INDEX missing_at ON missing (at);
    CREATE TABLE packages (
        at TEXT NOT NULL, position INTEGER NOT NULL, package TEXT NOT NULL, installed TEXT NOT NULL,
        latest TEXT NOT NULL
    );
    CREATE INDEX packages_at ON packages (at);
    """,
    """
    -- which file of row keys counts, by its id, and how much of it
    ALTER TABLE master ADD key_file TEXT, ADD key_bytes INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- whose verdict counted, what the gate asked for, and the 95 % interval of the difference of
    -- both models' F1, challenger less champion
    ALTER TABLE decisions ADD drift_test TEXT, ADD gate TEXT, ADD difference_low REAL,
        ADD difference_high REAL;
    CREATE TABLE score_drift (    -- the verdict of each drift test on scores
        decision_id INTEGER NOT NULL REFERENCES decisions (id) ON DELETE CASCADE,
        test TEXT NOT NULL,       -- 'raw', 'parametric', 'nonparametric', 'bootstrap'
        verdict TEXT NOT NULL,    -- 'drift', 'no drift', 'not enough evidence'
        reason TEXT NOT NULL,
        numbers TEXT NOT NULL     -- a JSON object of those it used
    );
    CREATE INDEX score_drift_decision ON score_drift (decision_id);
    CREATE TABLE input_drift (    -- each feature of a batch, and its predicted risk, beside
        decision_id INTEGER NOT NULL REFERENCES decisions (id) ON DELETE CASCADE,
        feature TEXT NOT NULL,    -- the training data of the model that was live
        kind TEXT NOT NULL,       -- 'number', 'category', 'risk'
        rows INTEGER NOT NULL,
        test TEXT NOT NULL,       -- 'ks' or 'chi2'
        missing REAL NOT NULL,    -- shares are parts of 1
        missing_before REAL NOT NULL,
        psi REAL, psi_limit REAL, statistic REAL, p_value REAL, missing_p_value REAL,
        unseen REAL, unseen_p_value REAL, verdict TEXT NOT NULL, reason TEXT NOT NULL
    );
    CREATE INDEX input_drift_decision ON input_drift (decision_id);
    CREATE INDEX decisions_release ON decisions (release);
    CREATE INDEX files_refused ON files (id) WHERE status = 'rejected' OR rejected > 0;
    CREATE INDEX decisions_checked ON decisions (id) WHERE drift_test IS NOT NULL;
    """,
    """
    CREATE TABLE rankings (       -- those in which the risk of some client changed
        id INTEGER PRIMARY KEY, at TEXT NOT NULL, release TEXT NOT NULL,
        clients INTEGER NOT NULL, -- how many it has
        replaced TEXT,            -- which file it was to take the place of, if one of ours
        old INTEGER NOT NULL DEFAULT 0  -- 1: what it took the place of has been forgotten
    );
    CREATE INDEX rankings_young ON rankings (at) WHERE old = 0;
    CREATE TABLE ranked_clients ( -- by number, so that a risk takes a third of the room
        id INTEGER PRIMARY KEY, client TEXT NOT NULL UNIQUE
    );
    CREATE TABLE client_risk (    -- the risk of each client from one ranking to its next here
        client_id INTEGER NOT NULL REFERENCES ranked_clients (id),
        ranking_id INTEGER NOT NULL REFERENCES rankings (id),
        risk REAL,                -- to two decimals; null from where it is in the ranking no more
        PRIMARY KEY (client_id, ranking_id)
    ) WITHOUT ROWID;
    CREATE INDEX client_risk_ranking ON client_risk (ranking_id);
    """,
    """
    -- where an engine keeps rows in buckets: how many there are (null: rows are in finaldata.csv),
    -- the seed of their keys, and the number of the last ingestion
    ALTER TABLE master ADD buckets INTEGER, ADD key_seed INTEGER,
        ADD ingestion INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE buckets (        -- those that have rows: which file of each counts
        bucket INTEGER NOT NULL UNIQUE, file TEXT NOT NULL, rows INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    );
    -- where a file's rows lie in the buckets: its ingestion, and its place in that
    ALTER TABLE files ADD ingestion INTEGER, ADD position INTEGER;
    """,
    """
    -- how a challenge ended: 'won', 'lost', 'same model', null if there was none; and in which ways
    -- a feature has drifted: a JSON array of 'psi', 'distribution', 'missing', 'unseen'. Of what is
    -- on record only the reason has both.
    ALTER TABLE decisions ADD challenge TEXT;
    UPDATE decisions SET challenge = CASE
        WHEN champion_f1 IS NULL THEN 'same model'
        WHEN action = 'deployed' THEN 'won' ELSE 'lost' END
        WHERE champion_f1 IS NOT NULL OR reason LIKE '% gives the same model: %';
    UPDATE decisions SET verdict = 'not enough evidence' WHERE verdict = 'no evidence';
    ALTER TABLE input_drift ADD causes TEXT NOT NULL DEFAULT '[]';
    UPDATE input_drift SET causes = '[' || rtrim(
        CASE WHEN reason LIKE '% above its limit %' THEN '"psi", ' ELSE '' END
        || CASE WHEN reason LIKE '% test p %' THEN '"distribution", ' ELSE '' END
        || CASE WHEN reason LIKE '%missing % before %' THEN '"missing", ' ELSE '' END
        || CASE WHEN reason LIKE '% in categories that %' THEN '"unseen", ' ELSE '' END
        , ', ') || ']'
        WHERE verdict = 'drift';
    """,
    """
    -- no longer read; master.buckets stays: it says that an old installation kept rows in buckets
    DROP TABLE buckets;
    ALTER TABLE master DROP COLUMN key_seed;
    ALTER TABLE master DROP COLUMN ingestion;
    ALTER TABLE files DROP COLUMN ingestion;
    ALTER TABLE files DROP COLUMN position;
    ALTER TABLE rankings DROP COLUMN replaced;
    """,
    """
    -- the record of finaldata.csv and of the file of sightings beside it. Where there is none of
    -- these, an earlier version wrote them, and start_row and end_row of files are still bytes.
    ALTER TABLE master ADD mtime_ns INTEGER, ADD digest TEXT, ADD log_file TEXT,
        ADD log_bytes INTEGER, ADD log_mtime_ns INTEGER, ADD log_digest TEXT,
        ADD client_names TEXT NOT NULL DEFAULT 'exact';
    ALTER TABLE files RENAME COLUMN start_byte TO start_row;
    ALTER TABLE files RENAME COLUMN end_byte TO end_row;
    -- where the lines of a content are in the file of sightings
    ALTER TABLE files ADD log_at INTEGER;
    -- no id of a file is given twice, even if the file is forgotten
    ALTER TABLE master ADD last_file INTEGER NOT NULL DEFAULT 0;
    UPDATE master SET last_file = (SELECT coalesce(max(id), 0) FROM files);
    """,
    """
    -- null is not known; the schema is that with which a rejected file was read
    ALTER TABLE files ADD ctime_ns INTEGER, ADD schema TEXT;
    CREATE TABLE waiting_files (  -- files with a time stamp in the future, as the last run saw them
        name TEXT PRIMARY KEY, sha256 TEXT NOT NULL
    );
    -- 1: it was said that the input folder has become empty
    ALTER TABLE master ADD input_empty INTEGER NOT NULL DEFAULT 0;
    """,
    """
    -- 1: it was said that defaults are others than they were
    ALTER TABLE master ADD defaults_told INTEGER NOT NULL DEFAULT 0;
    -- when a drift test came to a verdict on what a file brought; which contents the rows of a
    -- decision are of, the newest day of the data, the challenger's SHA-256, and a JSON object of
    -- numbers it was compared by
    ALTER TABLE files ADD scored_at TEXT;
    UPDATE files SET scored_at = judged_at;
    ALTER TABLE decisions ADD first_file INTEGER, ADD last_file INTEGER, ADD data_until TEXT,
        ADD challenger TEXT, ADD compared TEXT NOT NULL DEFAULT '{}';
    CREATE INDEX decisions_compared ON decisions (id) WHERE difference_low IS NOT NULL;
    -- what is new of a feature that has drifted: 'told', 'known', 'slight'; and the relative change
    -- of the mean risk that is due to it. Before, each was told.
    ALTER TABLE input_drift ADD news TEXT, ADD effect REAL;
    UPDATE input_drift SET news = 'told' WHERE verdict = 'drift';
    CREATE TABLE expected_scores ( -- what the risks of a batch let expect, with 95 % intervals
        id INTEGER PRIMARY KEY,
        decision_id INTEGER NOT NULL REFERENCES decisions (id) ON DELETE CASCADE,
        labelled INTEGER NOT NULL, -- 1: of the rows with a known outcome alone
        rows INTEGER NOT NULL, f1 REAL NOT NULL, f1_low REAL NOT NULL, f1_high REAL NOT NULL,
        average_precision REAL, average_precision_low REAL, average_precision_high REAL,
        roc_auc REAL, roc_auc_low REAL, roc_auc_high REAL,
        -- the scores of the same rows, null where not all outcomes are known, or undefined
        true_f1 REAL, true_average_precision REAL, true_roc_auc REAL
    );
    CREATE INDEX expected_scores_decision ON expected_scores (decision_id);
    -- what the check for a broken feed found, a JSON object; why a content is held back, which it
    -- is until it is accepted (or taken back: it is then rejected, and held says why it was)
    ALTER TABLE files ADD feed TEXT, ADD held TEXT, ADD accepted_at TEXT;
    CREATE INDEX files_held ON files (id) WHERE held IS NOT NULL;
    """,
    """
    CREATE TABLE told (           -- what was said once of names in the input folder
        kind TEXT NOT NULL,       -- 'passed over', 'waits'
        name TEXT NOT NULL, what TEXT NOT NULL, PRIMARY KEY (kind, name)
    );
    """,
    """
    CREATE TABLE contacts (       -- who was contacted
        id INTEGER PRIMARY KEY, client TEXT NOT NULL,
        day TEXT NOT NULL,        -- YYYY-MM-DD
        channel TEXT NOT NULL DEFAULT '', note TEXT NOT NULL DEFAULT '',
        result TEXT NOT NULL DEFAULT '', by_whom TEXT NOT NULL DEFAULT '',
        source TEXT NOT NULL,     -- 'page', 'api', or 'file NAME'
        recorded_at TEXT NOT NULL
    );
    CREATE INDEX contacts_client ON contacts (client, day);
    CREATE INDEX contacts_source ON contacts (source);
    CREATE TABLE contact_files (  -- files of contacts, as they were taken in last
        name TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        problem TEXT NOT NULL     -- what is wrong with it, if anything
    );
    CREATE TABLE assignments (    -- who was to be contacted, or left alone, in a campaign
        client TEXT NOT NULL,
        campaign TEXT NOT NULL,   -- the day on which it began
        day TEXT NOT NULL,        -- on which the client first was to be contacted, or left alone
        control INTEGER NOT NULL, -- 1: left alone
        share REAL NOT NULL,      -- of the control group, then
        band TEXT NOT NULL, risk REAL NOT NULL, PRIMARY KEY (client, campaign)
    );
    CREATE TABLE requests (       -- what people asked for on the page, for the next run to do
        id INTEGER PRIMARY KEY, at TEXT NOT NULL,
        action TEXT NOT NULL,     -- 'accept', 'forget', 'promote'
        what TEXT NOT NULL,       -- the file, or the release
        by_whom TEXT NOT NULL DEFAULT '',
        done_at TEXT,             -- null: it waits
        outcome TEXT
    );
    -- the day on which the ranking was last looked at for what contacts and campaigns change in it
    ALTER TABLE master ADD contacts_day TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE alerts (         -- what was to be told, each once
        id INTEGER PRIMARY KEY, at TEXT NOT NULL, event TEXT NOT NULL,
        about TEXT NOT NULL,      -- what makes it this one of its kind
        title TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (event, about)
    );
    CREATE TABLE deliveries (     -- to which targets, by their names in the config
        alert_id INTEGER NOT NULL REFERENCES alerts (id) ON DELETE CASCADE, target TEXT NOT NULL,
        sent_at TEXT,             -- null: it waits
        tries INTEGER NOT NULL DEFAULT 0,  -- that failed
        PRIMARY KEY (alert_id, target)
    );
    CREATE INDEX deliveries_waiting ON deliveries (alert_id) WHERE sent_at IS NULL;
    CREATE TABLE alert_marks (    -- up to which record events were looked for; none: alerts are off
        what TEXT PRIMARY KEY,    -- a table, or a kind of digest
        number INTEGER NOT NULL   -- the last id, or the day on which the last period began
    );
    """,
    """
    CREATE TABLE erasures (       -- on which days a client was erased; not which
        id INTEGER PRIMARY KEY, day TEXT NOT NULL
    );
    CREATE TABLE kept_out (       -- keyed hashes of names that are never to be taken in
        hash TEXT PRIMARY KEY
    );
    ALTER TABLE master ADD kept_out_key TEXT;
    CREATE TABLE backups (        -- where backups were written, each recorded before it is
        path TEXT PRIMARY KEY, at TEXT NOT NULL
    );
    """,
    """
    -- those of a file's newest content alone are kept; told has what waits, and that none is left
    DELETE FROM rejected_rows WHERE file_id IN (SELECT id FROM files WHERE current = 0);
    DROP TABLE waiting_files;
    ALTER TABLE master DROP COLUMN input_empty;
    """,
)
