// The suite itself, and how some of its tests are run.
import fetch from 'node-fetch'
import * as config from 'http-cache-tests/client/config.mjs'
import { makeCacheTest, testResults } from 'http-cache-tests/client/test.mjs'
import groups from 'http-cache-tests/tests/index.mjs'
import surrogate from 'http-cache-tests/tests/surrogate-control.mjs'

const AT_ONCE = 100
const PATIENCE = 20_000

/**
 * Below this path cookies are stored, as no cache should do of its own accord, and as these tests want it. Below the other one
 * everything is as it is by default.
 */
export const COOKIES = '/cookies'
const OF_COOKIES = new Set([
  'headers-store-Set-Cookie', 'headers-store-Set-Cookie2', '304-etag-update-response-Set-Cookie',
  '304-etag-update-response-Set-Cookie2', 'other-set-cookie'
])

/** Every test that is not about browsers. */
export const all = [...groups.flatMap(group => group.tests).map(asLater), ...surrogate.tests.flatMap(forCdn)]
  .filter(test => !test.browser_only)

/**
 * That nothing stale is given where it is forbidden cannot be passed in this edition: it takes a proxy's own answer for a stored one.
 * As in later ones, what comes of the endpoint has a count.
 */
function asLater (test) {
  if (!test.id.startsWith('stale-close-')) return test
  const [first] = test.requests
  const second = {
    disconnect: true, expected_status: 502, check_body: false, expected_response_headers_missing: ['server-request-count']
  }
  return { ...test, requests: [first, second] }
}

/** Later editions of the suite ask the same of `CDN-Cache-Control` (RFC 9213), which knows no targets and is announced by nobody. */
function forCdn (test) {
  const id = test.id.replace('surrogate', 'cdn')
  if (id === 'cdn-max-age-other-target' || id === 'cdn-max-age-me-target' || id === 'cdn-append-capabilities') return []
  const renamed = JSON.stringify(test).replaceAll('Surrogate-Control', 'CDN-Cache-Control').replaceAll(';CAPABILITY_TARGET', '')
    .replaceAll(/[Ss]urrogate cache|surrogate/g, 'CDN')
  // Keys of structured fields are in lower case.
  const kind = id === 'cdn-max-age-case-insensitive' ? 'check' : test.kind
  const dependencies = test.depends_on?.map(it => it.replace('surrogate', 'cdn'))
  return [{ ...JSON.parse(renamed), id, kind, depends_on: dependencies }]
}

/** Asks through the proxy at this address: `true` for each test that passed, else what kind of failure and why. */
export async function run (tests, base, { shown = false } = {}) {
  config.setFetch((url, init) => fetch(url, { ...init, timeout: PATIENCE }))
  const [ofCookies, others] = [tests.filter(isOfCookies), tests.filter(test => !isOfCookies(test))]
  return { ...await runBelow(base + COOKIES, ofCookies, shown), ...await runBelow(base, others, shown) }
}

function isOfCookies ({ id }) {
  return OF_COOKIES.has(id)
}

async function runBelow (base, tests, shown) {
  config.setBaseUrl(base)
  const results = {}
  for (let first = 0; first < tests.length; first += AT_ONCE) {
    const some = tests.slice(first, first + AT_ONCE)
    for (const { id } of some) delete testResults[id]
    // A test writes dates into itself as it goes: each run has a copy of its own.
    await Promise.all(some.map(test => makeCacheTest({ ...structuredClone(test), dump: shown })))
    for (const { id } of some) results[id] = testResults[id]
  }
  return results
}
