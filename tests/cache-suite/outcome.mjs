// What results mean, and what has changed since they were recorded.

import { superseded } from './choices.mjs'

/** `required` is what the suite calls a test that says nothing else of itself. */
function kindOf (test) {
  return superseded.has(test.id) ? 'check' : test.kind ?? 'required'
}

/** By kind, and within it by name: whether each test passed; of a mere check, whether the answer is yes. */
export function tally (tests, results) {
  const outcome = { required: {}, optimal: {}, check: {} }
  for (const test of [...tests].sort((one, other) => one.id < other.id ? -1 : 1)) {
    const kind = kindOf(test)
    const [good, bad] = kind === 'check' ? ['yes', 'no'] : ['pass', 'fail']
    outcome[kind][test.id] = results[test.id] === true ? good : bad
  }
  return outcome
}

/**
 * What is better than recorded, and what is worse. A check is neither good nor bad: another answer is a choice nobody made.
 * What was never recorded can only be better.
 */
export function difference (recorded, now) {
  const worse = []
  const better = []
  for (const [kind, tests] of Object.entries(now)) {
    const before = recorded[kind] ?? {}
    for (const [id, outcome] of Object.entries(tests)) {
      if (before[id] === outcome) continue
      if (kind !== 'check' && (outcome === 'pass' || before[id] === undefined)) better.push(id)
      else worse.push(id)
    }
    worse.push(...Object.keys(before).filter(id => !Object.hasOwn(tests, id)))
  }
  return { worse, better }
}

export function summary (outcome) {
  const count = (kind, good) => Object.values(outcome[kind]).filter(it => it === good).length
  const of = (kind, good) => `${count(kind, good)} of ${Object.keys(outcome[kind]).length}`
  return [
    `required: ${of('required', 'pass')}`,
    `optimal: ${of('optimal', 'pass')}`,
    `checks: ${of('check', 'yes')} say yes`
  ].join('; ')
}
