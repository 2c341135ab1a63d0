// Runs the public tests for HTTP caches against a proxy, and holds the outcome against what is recorded.
import fs from 'node:fs'
import { parseArgs } from 'node:util'

import { difference, summary, tally } from './outcome.mjs'
import { startOrigin } from './origin.mjs'
import { proxies } from './proxies.mjs'
import { chosen, page } from './choices.mjs'
import { all, run } from './suite.mjs'

// It runs at the root of the repository.
const kept = { baseline: 'tests/cache-suite/baseline.json', page: 'docs/cache-tests.md' }

const { values: flags, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    proxy: { type: 'string', default: 'aqueduct' },
    program: { type: 'string', default: 'target/debug/aqueduct' },
    results: { type: 'string', default: 'target/cache-suite/results.json' }
  }
})

const unknown = wanted.filter(id => !all.some(test => test.id === id))
if (unknown.length > 0) fail(`the suite has no test ${unknown.join(', ')}`)
if (!Object.hasOwn(proxies, flags.proxy)) fail(`no proxy ${flags.proxy}; there are: ${Object.keys(proxies).join(', ')}`)

const origin = await startOrigin()
const proxy = await proxies[flags.proxy](origin.port, flags.program)
let passed
try {
  passed = wanted.length > 0 ? await ask(wanted) : await askAll()
} finally {
  proxy.stop()
  origin.stop()
}
process.exit(passed ? 0 : 1)

/** A few tests, with everything that is said on both sides. */
async function ask (ids) {
  const results = await run(all.filter(test => ids.includes(test.id)), proxy.base, { shown: true })
  for (const id of ids) console.log(`${id}: ${reason(results[id])}`)
  return ids.every(id => results[id] === true)
}

async function askAll () {
  const results = await run(all, proxy.base)
  if (flags.proxy !== 'aqueduct') {
    keep(results)
    console.log(summary(tally(all, results)))
    return true
  }
  const recorded = { ...recordedBaseline(), check: chosen() }
  // On a busy machine a second passes before a request does: what got worse is asked once more, alone.
  const doubtful = difference(recorded, tally(all, results)).worse
  Object.assign(results, await run(all.filter(test => doubtful.includes(test.id)), proxy.base))
  keep(results)
  const now = tally(all, results)
  const { worse, better } = difference(recorded, now)
  console.log(summary(now))
  for (const id of worse) console.error(`is not as recorded: ${id}: ${reason(results[id])}`)
  for (const id of better) console.log(`new: ${id}: ${reason(results[id])}`)
  if (worse.length > 0) return false
  return process.env.UPDATE_BASELINE ? record(now) : holds(now, better)
}

/** Nothing at first: whatever then is passed is better. */
function recordedBaseline () {
  return fs.existsSync(kept.baseline) ? JSON.parse(fs.readFileSync(kept.baseline, 'utf8')) : {}
}

function keep (results) {
  fs.writeFileSync(flags.results, JSON.stringify(results, null, 2) + '\n')
}

/** Answers to checks are not recorded but chosen. */
function record (now) {
  const { check, ...recorded } = now
  fs.writeFileSync(kept.baseline, JSON.stringify(recorded, null, 2) + '\n')
  fs.writeFileSync(kept.page, page(all, now))
  console.log('recorded; please read the difference')
  return true
}

function holds (now, better) {
  const isTold = better.length === 0 && page(all, now) === fs.readFileSync(kept.page, 'utf8')
  if (!isTold) console.error('please record this: UPDATE_BASELINE=1 scripts/cache-tests')
  return isTold
}

function reason (result) {
  if (result === undefined) return 'it was not asked'
  return result === true ? 'passed' : result.join(': ')
}

function fail (why) {
  console.error(why)
  process.exit(1)
}
