/**
 * One word for one thing: identifiers and file names use the words of `docs/glossary.md`. What other nodes, files on
 * disk and users see keeps the name it was given, listed below with the reason.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseSync } from 'vite'
import { describe, expect, it } from 'vitest'
import { PROJECT_ROOT } from './support/built.ts'

const PARTS = ['src', 'cluster', 'storage-adapters', 'cli', 'postgres', 'backup']

/** A word that says it, and the identifiers that are refused in its place. */
const WORDS: readonly (readonly [word: string, old: string])[] = [
  [
    'pending',
    'owed isOwed owedCount owedRow readOwed decodeOwed encodeOwed debt debts forgetDebts',
  ],
  ['pendingFor', 'owedTo'],
  ['enqueue', 'owe owes oweUnshared'],
  ['resendAll', 'refill'],
  ['retarget', 'redirect RedirectParts'],
  ['reemit', 'tellAgain planTellAgain'],
  ['send, report, notify', 'tell told untold Told isTold tellable tellTerms tellDown tellSystemd'],
  ['WriteStatus', 'Fate WriteFate WriteFates fate fates fateOf fateJson FateOptions FateContext'],
  ['causalContext', 'sight seenBy hasSeen hasSeenItself parseSeen encodeSeen SEEN_NOTHING'],
  ['MergedVersions', 'PushedMarks marksRow'],
  ['detectConflicts', 'judgePush PushJudge'],
  ['observe', 'weigh'],
  ['Observation', 'Sighting sighting'],
  ['SupersededWrites', 'LostRows LostRow LostChange lostRow admitLost noteLost'],
  ['evicted', 'letGo'],
  ['NodeRole', 'Seat seat createSeat'],
  ['Leadership', 'Succession succession'],
  ['LeaderTerm', 'Reign reign'],
  ['ElectionDecision', 'Office office isOffice'],
  ['UNKNOWN_LEADER', 'NOBODY NOBODY_LEADS undecidedByNobody'],
  ['failFast', 'withoutNobody callsWithoutNobody'],
  ['LeaderClock', 'Terms TermsQuestion decodeTerms LeaderTerms'],
  ['FollowerProgress', 'LeaderKeeping LeaderKeepingOptions keeping'],
  ['planExpireUnknown, planRemoveMissing', 'planDrop'],
  ['lowerMaxStamp', 'comeDown comesDown planComeDown'],
  ['acquireExclusive, acquireShared, release', 'takeAlone takeTogether giveBack'],
  ['LockingStore', 'GuardedStore GuardedWriteOptions GuardedBatchOptions'],
  ['betweenBatches', 'atRest'],
  ['HandedOffConnection', 'Passenger passenger'],
  ['ConnectionTable', 'Visitors Visitor visitors visitor VisitorKind'],
  ['overLimit', 'surplus'],
  ['shutdownReason', 'goodbye'],
  ['unsubscribe', 'unhear'],
  ['warnings', 'concerns ConcernProvider linkConcerns storageConcerns'],
  ['advertisedAddress', 'whereabouts'],
  ['InMemoryState', 'Mirror mirror'],
  ['KeyState', 'Slot slot slots SlotChange SlotCache PlannedSlot'],
  ['repair', 'mend mended Mended mendFiles mendRecords openMended'],
  ['truncateRejectedBatch', 'dropRefused'],
]

/** Names of files that are gone, without their endings. */
const OLD_FILES = new Set(
  [
    'concerns guarded-store judge-push leader-keeping leveldb-mend leveldb-mended leveldb-refused lost-rows',
    'mend-records mirror nobody plan-come-down plan-drop plan-tell-again protocol-terms pushed-marks redirect',
    'refill seat seen slot-cache succession visitors write-fate write-fates',
  ]
    .join(' ')
    .split(' '),
)

/** Old words that stay: what users or other nodes see. */
const EXCEPTIONS: readonly (readonly [path: string, word: string, why: string])[] = [
  ['src/client/client.ts', 'fate', 'a method that programs call'],
  ['src/server/admission/admission.ts', 'surplus', 'a field of `server.admissionMetrics`'],
  ['src/server/management/metrics.ts', 'surplus', 'a value of a label of `GET /-/metrics`'],
  ['cluster/election/voters/report.ts', 'concerns', 'a field of `GET /-/voters`'],
  ['cluster/node/leadership.ts', 'concerns', 'a field of `GET /-/voters`'],
  ['cluster/index.ts', 'concerns', 'a field of `GET /-/voters`'],
]

const NEW_OF = new Map(WORDS.flatMap(([word, old]) => old.split(' ').map((each) => [each, word])))

interface Use {
  readonly path: string
  readonly word: string
}

/** Old words that a file uses as identifiers, each once. Comments and texts are not looked at. */
function oldWordsOf(path: string, text: string): Use[] {
  const found = new Set<string>()
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) {
      for (const each of node) visit(each)
    } else if (typeof node === 'object' && node !== null) {
      const { type, name } = node as { type?: unknown; name?: unknown }
      const isName = type === 'Identifier' || type === 'PrivateIdentifier'
      if (isName && typeof name === 'string' && NEW_OF.has(name)) found.add(name)
      for (const each of Object.values(node)) visit(each)
    }
  }
  visit(parseSync(path, text).program)
  return [...found].map((word) => ({ path, word }))
}

function isExcepted({ path, word }: Use): boolean {
  return EXCEPTIONS.some(([file, excepted]) => file === path && excepted === word)
}

const files = PARTS.flatMap((part) =>
  readdirSync(join(PROJECT_ROOT, part), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${part}/${name.replaceAll('\\', '/')}`),
)
const uses = files.flatMap((path) =>
  oldWordsOf(path, readFileSync(join(PROJECT_ROOT, path), 'utf8')),
)

describe('the words of the product', () => {
  it('are the only ones that identifiers use', () => {
    expect(files.length).toBeGreaterThan(300)
    const refused = uses.filter((use) => !isExcepted(use))
    expect(refused.map(({ path, word }) => `${path}: ${word}, say ${NEW_OF.get(word)}`)).toEqual([])
  })

  it('are the only ones that file names use', () => {
    expect(files.filter((path) => OLD_FILES.has(basename(path, '.ts')))).toEqual([])
  })

  it('have no exception that nothing needs', () => {
    const isNeeded = (path: string, word: string): boolean =>
      uses.some((use) => use.path === path && use.word === word)
    expect(EXCEPTIONS.filter(([path, word]) => !isNeeded(path, word))).toEqual([])
  })

  it('are told in the glossary, each with the word that it took the place of', () => {
    const page = readFileSync(join(PROJECT_ROOT, 'docs', 'glossary.md'), 'utf8')
    const missing = WORDS.flatMap(([word, old]) => [...word.split(', '), old.split(' ')[0] ?? ''])
    expect(missing.filter((word) => !page.includes(`\`${word}\``))).toEqual([])
  })
})

describe('the rule itself', () => {
  it.each([
    ['a variable', 'const owed = 1'],
    ['a private field', 'class A { #owed = 1 }'],
    ['a field of a type', 'interface A { readonly owed: number }'],
    ['a shorthand', 'export const a = (owed: number) => ({ owed })'],
  ])('finds %s', (_what, text) => {
    expect(oldWordsOf('a.ts', text)).toEqual([{ path: 'a.ts', word: 'owed' }])
  })

  it('leaves comments, texts and parts of names alone', () => {
    const text = "// owed\nexport const followed = 'owed'\n"
    expect(oldWordsOf('a.ts', text)).toEqual([])
  })
})
