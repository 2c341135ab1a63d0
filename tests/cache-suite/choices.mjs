// Where the protocol leaves it open, and what we do: the suite asks, these are the answers, and why.

/** What a check answers with, why, and which checks these are. */
const choices = [
  ['yes', 'Nothing says how long it is good for, and nothing it could be guessed from (RFC 9111, 4.2.2).', 'freshness-none'],
  ['yes', 'An answer is as old as its `Date` says, if no `Age` says more (4.2.3).', 'freshness-max-age-date'],
  ['yes', 'Recipients ought to take both forms of an argument (5.2).', 'freshness-max-age-quoted'],
  ['no', 'What is no number of seconds is stale (4.2.1).',
    'freshness-max-age-decimal-zero freshness-max-age-decimal-five freshness-max-age-a100 freshness-max-age-100a'],
  ['yes', 'There is no space around `=`: what has one is another directive, which nobody knows.',
    'freshness-max-age-space-before-equals freshness-max-age-space-after-equals'],
  ['yes', 'Of two lifetimes the shorter counts (4.2.1), and that is long enough.',
    'freshness-max-age-multiple-line freshness-max-age-multiple-directive'],
  ['no', 'Of two lifetimes the shorter counts, wherever it stands (4.2.1).',
    'freshness-max-age-two-stale-fresh-sameline freshness-max-age-two-fresh-stale-sameline ' +
    'freshness-max-age-two-stale-fresh-sepline freshness-max-age-two-fresh-stale-sepline'],
  ['yes', 'There are three forms of a date (RFC 9110, 5.6.7).', 'freshness-expires-rfc850'],
  ['no', 'Of the third form of a date; but that day was no Thursday.', 'freshness-expires-ansi-c'],
  ['no', 'A date of another form is in the past (RFC 9111, 5.3).',
    'freshness-expires-32bit freshness-expires-far-future freshness-expires-wrong-case-weekday ' +
    'freshness-expires-wrong-case-month freshness-expires-wrong-case-tz freshness-expires-invalid-utc ' +
    'freshness-expires-invalid-aest freshness-expires-invalid-2-digit-year freshness-expires-invalid-no-comma ' +
    'freshness-expires-invalid-multiple-spaces freshness-expires-invalid-date-dashes ' +
    'freshness-expires-invalid-time-periods freshness-expires-invalid-1-digit-hour ' +
    'freshness-expires-invalid-multiple-lines'],
  ['yes', 'Fields that `no-cache` names are not stored; the rest is (5.2.2.4).',
    'headers-omit-headers-listed-in-Cache-Control-no-cache-single headers-omit-headers-listed-in-Cache-Control-no-cache'],
  ['no', 'Stale answers are given only where the endpoint, the operator or the client has said so.',
    'stale-close stale-503'],
  ['yes', '`stale-if-error` is such a word (RFC 5861, 4).', 'stale-sie-close stale-sie-503'],
  ['no', '`Warning` is obsolete (5.5); `Cache-Status` tells.', 'stale-warning-stored stale-warning-become'],
  ['no', 'A tenth of what has passed since it was modified is over (4.2.2).',
    'heuristic-delta-5 heuristic-delta-10 heuristic-delta-30'],
  ['yes', 'A tenth of what has passed since it was modified is not over (4.2.2).',
    'heuristic-delta-60 heuristic-delta-300 heuristic-delta-600 heuristic-delta-1200 heuristic-delta-1800 ' +
    'heuristic-delta-3600 heuristic-delta-43200 heuristic-delta-86400'],
  ['yes', 'What clients wish counts (5.2.1), unless the operator says otherwise.',
    'ccreq-ma0 ccreq-ma1 ccreq-magreaterage ccreq-max-stale ccreq-min-fresh ccreq-min-fresh-age ' +
    'ccreq-no-cache ccreq-no-cache-lm ccreq-no-cache-etag ccreq-oic'],
  ['no', 'What is stale when it comes, and has nothing to be validated by, is not stored.', 'ccreq-max-stale-age'],
  ['no', '`no-store` is about what is stored of this exchange, not about what was stored before (5.2.1.5).',
    'ccreq-no-store'],
  ['no', '`Pragma: no-cache` is `no-cache` where there is no `Cache-Control` (5.4).',
    'pragma-request-no-cache'],
  ['yes', '`Pragma` means nothing else, and nothing in answers (5.4).',
    'pragma-request-extension pragma-response-no-cache pragma-response-no-cache-heuristic pragma-response-extension'],
  ['no', 'Tags are compared byte by byte, and the suite encodes this one twice in different ways.',
    'conditional-etag-strong-respond-obs-text'],
  ['no', 'Tags are compared byte by byte, quotes included.',
    'conditional-etag-quoted-respond-unquoted conditional-etag-unquoted-respond-quoted'],
  ['yes', 'Tags are compared byte by byte, also those that are none: who sends it back has it.',
    'conditional-etag-unquoted-respond-unquoted conditional-etag-weak-respond-lowercase ' +
    'conditional-etag-weak-respond-backslash conditional-etag-weak-respond-omit-slash'],
  ['no', 'An answer for other requests is not asked about.', 'conditional-etag-vary-headers-mismatch'],
  ['no', 'A tag is sent as it came.', 'conditional-etag-strong-generate-unquoted'],
  ['no', 'A condition of the client would leave nothing to store; it is judged by what then is stored.',
    'conditional-etag-forward conditional-etag-forward-unquoted'],
  ['yes', 'HEAD is sent on where nothing fresh is stored, and tells how it is with what is stored (4.3.5).',
    'head-writethrough head-200-freshness-update head-200-update'],
  ['no', 'The answer to HEAD is passed on as it came.', 'head-200-retain'],
  ['no', 'Only a 200 to HEAD tells anything (4.3.5).', 'head-410-update'],
  ['yes', 'A part has the fields of the whole.', 'partial-use-stored-headers'],
  ['yes', 'What is to be done with an answer does not say how long it is good for.',
    'other-heuristic-content-disposition-attachment other-fresh-content-disposition-attachment'],
  ['yes', 'There is no space around `=` in a structured field: such a field counts for nothing (RFC 9213, 2.1).',
    'cdn-max-age-space-before-equals cdn-max-age-space-after-equals'],
  ['no', 'Keys of structured fields are in lower case: such a field counts for nothing (RFC 9213, 2.1).',
    'cdn-max-age-case-insensitive'],
  ['yes', 'There may be other caches of its kind on the way.', 'cdn-remove-header']
].map(group)

/** What this edition of the suite requires, and later ones, which follow RFC 9111, do not or not so; and what we answer. */
const later = [
  ['no', 'What is no number of seconds is ignored (5.1).', 'age-parse-nonnumeric age-parse-negative age-parse-float'],
  ['no', 'The first of several ages counts (5.1).',
    'age-parse-prefix-twoline age-parse-dup-0 age-parse-dup-0-twoline age-parse-dup-old'],
  ['no', 'An age has no parameters: it is ignored (5.1).', 'age-parse-parameter age-parse-numeric-parameter'],
  ['yes', 'A 304 says nothing of how a body that it does not have is encoded or cut (3.2).',
    '304-etag-update-response-Content-Encoding 304-etag-update-response-Content-Range'],
  ['no', 'A 304 brings all other fields up to date (3.2).', '304-etag-update-response-Content-MD5'],
  ['no', 'A 304 of another tag is of another answer (4.3.4): this one is asked for anew.', '304-etag-update-response-ETag']
].map(group)

export const superseded = new Set(later.flatMap(({ ids }) => ids))

function group ([answer, because, ids]) {
  return { answer, because, ids: ids.split(' ') }
}

/** What is not passed, and why not. */
const failures = Object.fromEntries([
  ['An unknown coding of a transfer is refused: whoever guessed would take the rest of the bytes for something else.',
    'headers-store-Transfer-Encoding'],
  ['Modified later than the client says, as far as is known (RFC 9111, 4.3.2).', 'conditional-lm-fresh-no-lm'],
  ['Parts are not stored.',
    'partial-store-partial-complete partial-store-partial-reuse-partial partial-store-partial-reuse-partial-absent ' +
    'partial-store-partial-reuse-partial-byterange partial-store-partial-reuse-partial-suffix'],
  ['Which language somebody would be given is the endpoint\'s to say.', 'vary-normalise-lang-select']
].flatMap(([because, ids]) => ids.split(' ').map(id => [id, because])))

/** What checks are to answer, by name. */
export function chosen () {
  return Object.fromEntries([...choices, ...later].flatMap(({ answer, ids }) => ids.map(id => [id, answer])))
}

/** The page of the documentation that tells all this. */
export function page (tests, outcome) {
  const title = id => tests.find(test => test.id === id).name.replaceAll('|', '\\|')
  const passed = kind => Object.values(outcome[kind]).filter(it => it === 'pass').length
  const count = kind => Object.keys(outcome[kind]).length
  const failed = ['required', 'optimal'].flatMap(kind =>
    Object.entries(outcome[kind]).filter(([, it]) => it === 'fail').map(([id]) => [kind, id]))
  const lines = [
    '# The public tests for HTTP caches',
    '',
    '`scripts/cache-tests` runs [http-cache-tests](https://cache-tests.fyi) 0.4.5 against the cache as it is with `cache = true`, and',
    'writes this page. What has passed must go on to pass: `tests/cache-suite/baseline.json`. Five tests are about cookies that a',
    'cache stores: they are asked where it was told to. Those of `Surrogate-Control` are asked of `CDN-Cache-Control` (RFC 9213), as',
    'later editions of the suite do, and that nothing stale is given where it is forbidden is asked as there.',
    '',
    '| Tests | Passed | Of |',
    '|---|---|---|',
    `| Required | ${passed('required')} | ${count('required')} |`,
    `| Optimal | ${passed('optimal')} | ${count('optimal')} |`,
    ''
  ]
  if (failed.length > 0) {
    lines.push('Not passed:', '', '| Test | Kind | Why |', '|---|---|---|')
    for (const [kind, id] of failed) lines.push(`| ${title(id)} (\`${id}\`) | ${kind} | ${failures[id] ?? ''} |`)
    lines.push('')
  }
  lines.push('Where the protocol leaves it open the suite only asks. Our answers:', '', ...answers(choices, title), '')
  lines.push(
    'What this edition of the suite requires, and later ones, which follow RFC 9111, do not. Does it pass all the same?',
    '', ...answers(later, title)
  )
  return lines.join('\n') + '\n'
}

function answers (groups, title) {
  const rows = groups.flatMap(({ answer, because, ids }) =>
    ids.map(id => `| ${title(id)} (\`${id}\`) | ${answer} | ${because} |`))
  return ['| Question | Answer | Why |', '|---|---|---|', ...rows]
}
