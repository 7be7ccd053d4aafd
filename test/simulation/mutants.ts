/** Bugs planted to see whether the simulation notices: each is one text replaced in one file. */

export interface Mutant {
  readonly name: string
  /** Path from the root of the project. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
  /** Part of the name of the kinds that are to notice it. Default: all take part. */
  readonly kinds?: string
  /** It is planted in every run of the tests, since few histories are enough to notice it. */
  readonly isQuick?: true
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a delete removes the record and keeps no tombstone',
    file: 'src/store/draft.ts',
    find: "    rows.push({ type: 'put', key: recordRow(key), value: encodeRecord(record, seq) })",
    replace:
      "    if (record.kind === 'tombstone') rows.push({ type: 'del', key: recordRow(key) })\n    else rows.push({ type: 'put', key: recordRow(key), value: encodeRecord(record, seq) })",
    isQuick: true,
  },
  {
    name: 'versions are compared by their creation only',
    file: 'src/core/entry.ts',
    find: 'return record.updated > record.created ? record.updated : record.created',
    replace: 'return record.created',
    isQuick: true,
  },
  {
    name: 'the origin does not decide between equal stamps',
    file: 'src/core/merge.ts',
    find: '  if (a.origin !== b.origin) return a.origin < b.origin ? -1 : 1\n',
    replace: '',
  },
  {
    name: 'the cursor is written before the records it covers',
    file: 'cluster/follower-steps.ts',
    find: '(meta) => store.merge(records, { source: leader, leader, meta }))',
    replace:
      '(meta) => store.saveMeta(meta).then(() => store.merge(records, { source: leader, leader })))',
    kinds: 'leader moves',
  },
  {
    name: 'every write is answered before it is written',
    file: 'src/store/committer.ts',
    find: '    if (levels.every((level) => this.#writer.answersEarly(level))) {',
    replace: '    if (levels.length > 0) {',
    kinds: 'power cuts',
  },
  {
    name: 'a full comparison is skipped',
    file: 'cluster/follower-state.ts',
    find: 'message.resume ? progress.cursor?.seq : undefined',
    replace: 'message.resume ? progress.cursor?.seq : head',
  },
  {
    name: 'a push is answered before its merge is durable',
    file: 'cluster/push-taker.ts',
    find: '    const merged = await store.merge(\n      accepted.map(({ record }) => record),\n      { source: this.#source, pushed, notAfter },\n    )',
    replace:
      "    const merged = accepted.map(() => 'applied' as const)\n    void store\n      .merge(\n        accepted.map(({ record }) => record),\n        { source: this.#source, pushed, notAfter },\n      )\n      .catch(() => undefined)",
    kinds: 'power cuts',
  },
  {
    name: 'what is owed is forgotten when the store opens',
    file: 'src/store/outbox-rows.ts',
    find: '    found?.(key, seq, leader, seen)\n',
    replace: '',
  },
  {
    name: 'what is owed is counted and not found after an opening',
    file: 'src/store/outbox-rows.ts',
    find: '    owed.set(leader, (owed.get(leader) ?? 0) + 1)\n',
    replace: '',
  },
  {
    name: 'a pushed record replaces a later one',
    file: 'src/store/replication.ts',
    find: '  const { order, record: held } = mergeRecords(current, record)',
    replace:
      '  const merged = mergeRecords(current, record)\n  const { order, record: held } = merged.order === 0 ? merged : { order: -1, record }',
    isQuick: true,
  },
  {
    name: 'the log keeps its epoch when the storage opens',
    file: 'src/store/recovery.ts',
    find: "beginEpoch(isNew ? undefined : meta.get('epochs'), newId(), found.head.seq)",
    replace: "meta.get('epochs') ?? beginEpoch(undefined, 'same', found.head.seq)",
    kinds: 'power cuts',
  },
  {
    name: 'a leader resumes whatever the cursor',
    file: 'cluster/leader-keeping.ts',
    find: 'const canResume = isWhole && cursor !== null',
    replace: 'const canResume = cursor !== null',
    kinds: 'power cuts, lost disks',
  },
  {
    name: 'a leader looks at the cursor only, not at what the follower has seen',
    file: 'cluster/leader-keeping.ts',
    find: ' && (seen === null || store.canResume(seen))',
    replace: ' && (seen === null || seen.seq >= 0)',
    kinds: 'power cuts',
  },
  {
    name: 'an epoch holds for any place in it',
    file: 'src/store/epochs.ts',
    find: 'return position.seq <= (epochs[at + 1]?.[1] ?? head)',
    replace: 'return position.seq >= 0 && head >= 0',
    kinds: 'power cuts',
    isQuick: true,
  },
  {
    name: 'what one follower pushed is kept from all',
    file: 'cluster/leader.ts',
    find: 'commit.source === this.#source ?',
    replace: 'commit.source !== undefined ?',
  },
  {
    name: 'the clock ignores stamps of peers',
    file: 'src/store/store.ts',
    find: '    for (const record of records) this.#committer.clock.observe(versionOf(record))\n',
    replace: '',
    kinds: 'processes killed',
  },
  {
    name: 'the clock starts without what the disk knows',
    file: 'src/store/committer.ts',
    find: '    this.clock.restore(loaded.head.clock)\n',
    replace: '',
    kinds: 'processes killed',
  },
  {
    name: 'older rows of a key stay in the log',
    file: 'src/store/draft.ts',
    find: "    if (before !== undefined) rows.push({ type: 'del', key: logRow(before.seq) })\n",
    replace: '',
  },
  {
    name: 'changes are left out of the log',
    file: 'src/store/draft.ts',
    find: '    rows.push(put(logRow(seq), key))\n',
    replace: '    if (seq % 7 !== 0) rows.push(put(logRow(seq), key))\n',
  },
  {
    name: 'rows answered early are dropped when their write fails',
    file: 'src/store/batch-writer.ts',
    find: '      this.#waiting = [...this.#waiting, ...rows]\n',
    replace: '',
    kinds: 'disk errors',
  },
  {
    name: 'a push settles a record that changed since it was sent',
    file: 'src/store/replication.ts',
    find: '        if (slot?.seq === seq && slot.owedTo === leader) debts.push({ ...slot, owedTo: undefined })',
    replace:
      '        if (slot?.owedTo === leader && seq > 0) debts.push({ ...slot, owedTo: undefined })',
  },
  {
    name: 'a delete of a glob leaves one tombstone',
    file: 'src/store/operations.ts',
    find: '      const slots = live.map((key) =>',
    replace: '      const slots = live.slice(0, 1).map((key) =>',
  },
  {
    name: 'a page of the log skips rows that are in memory only',
    file: 'src/store/change-log.ts',
    find: '  return rows.concat(newer).slice(0, limit)',
    replace: '  return rows.concat(newer.slice(newer.length)).slice(0, limit)',
  },
  {
    name: "a record that lost against the leader's clears the debt",
    file: 'src/store/replication.ts',
    find: '    plan.debts.set(record.key, { ...slot, owedTo: isAtLeader ? undefined : leader })',
    replace: '    plan.debts.set(record.key, { ...slot, owedTo: undefined })',
  },
  {
    name: 'what comes from below is not owed upwards',
    file: 'src/store/replication.ts',
    find: '      owedTo: isAtLeader ? undefined : leader,\n',
    replace: '      owedTo: undefined,\n',
    kinds: 'tree',
    isQuick: true,
  },
  {
    name: 'another leader is followed from the old cursor',
    file: 'cluster/link-progress.ts',
    find: '    stored.fingerprint === fingerprint &&\n',
    replace: '',
    kinds: 'leader moves',
  },
  {
    name: 'a page that was cut is said to be whole',
    file: 'cluster/leader-session.ts',
    find: 'const through = isCut ? last.seq : Math.min(page.through, end)',
    replace: 'const through = Math.min(isCut ? page.through : page.through, end)',
  },
  {
    name: 'disk durability is not asked of the adapter',
    file: 'src/store/batch-writer.ts',
    find: 'return level === undefined || !durability.includes(level) ? {} : { durability: level }',
    replace:
      "return level === undefined || !durability.includes('process') ? {} : { durability: 'process' }",
    kinds: 'power cuts',
  },
  {
    name: 'what the leader lacks is taken for deleted',
    file: 'cluster/unknown-entries.ts',
    find: "? 'drop' : 'push'",
    replace: "? 'drop' : 'drop'",
    kinds: 'lost disks',
  },
  {
    name: 'what the leader lacks is left as it is',
    file: 'cluster/unknown-entries.ts',
    find: "? 'drop' : 'push'",
    replace: "? 'drop' : 'leave'",
    kinds: 'divergence',
  },
  {
    name: 'deletes that the leader has forgotten are undone',
    file: 'cluster/unknown-entries.ts',
    find: "? 'drop' : 'push'",
    replace: "? 'push' : 'push'",
    kinds: 'expire',
  },
  {
    name: 'that deletes were forgotten is not noted',
    file: 'src/store/tombstones.ts',
    find: '        if (seq > floor) floor = seq\n',
    replace: '',
    kinds: 'expire',
  },
  {
    name: 'changes that were refused for their stamp are dropped',
    file: 'cluster/follower-pushes.ts',
    find: "    else if (outcomes[i] === 'drift') drifted.push(row)\n",
    replace: '',
    kinds: 'wrong clocks',
  },
  {
    name: 'a restamp leaves no mark',
    file: 'src/store/plan-restamp.ts',
    find: '  return withMarks(withWas(moved, nextWas(record, first)), marks)',
    replace: '  return marks === undefined ? moved : withWas(moved, nextWas(record, first))',
    kinds: 'drifting',
  },
  {
    name: 'a restamp does not cover what followers pushed',
    file: 'src/store/plan-restamp.ts',
    find: 'found.length === 0 ? [] : pushedBeyond(context.meta, base)',
    replace: 'found.length === 0 ? [] : pushedBeyond(() => undefined, base)',
    kinds: 'leader moves',
  },
  {
    name: 'a restamp covers only the record under its last stamp',
    file: 'src/store/plan-restamp.ts',
    find: 'addMarks(marksOf(record), [first, own, ...known])',
    replace: 'addMarks(marksOf(record), [first, own, ...known].slice(0, 1))',
    kinds: 'drifting',
  },
  {
    name: 'a restamp keeps the origin',
    file: 'src/store/identity.ts',
    find: '    this.comeDown(reach)\n    this.#next()\n',
    replace: '    this.comeDown(reach)\n',
    kinds: 'drifting',
  },
  {
    name: 'a write over a record does not take over the marks of its key',
    file: 'src/store/draft.ts',
    find: '  return known === undefined ? record : withMarks(record, unionMarks(known, marksOf(record)))',
    replace: '  return known === undefined || known.length >= 0 ? record : record',
    kinds: 'drifting',
  },
  {
    name: 'a merge keeps the marks of the winner only',
    file: 'src/core/merge.ts',
    find: '  return { record: withMarks(order < 0 ? came : current, marks), order }',
    replace: '  return { record: order < 0 ? came : current, order }',
    kinds: 'drifting',
  },
  {
    name: 'marks are not kept on disk',
    file: 'src/store/rows.ts',
    find: "  const fields = record.fields === undefined ? '' : fieldsText(record)",
    replace:
      "  const fields = record.fields === undefined ? '' : fieldsText({ ...record, fields: {} })",
    kinds: 'drifting',
  },
  {
    name: 'what a leader merged with marks is not sent back to who pushed it',
    file: 'cluster/leader.ts',
    find: '(isMerged === true ? [] : [first + i])',
    replace: '(isMerged === true ? [first + i] : [first + i])',
    kinds: 'drifting',
  },
  {
    name: 'marks that only one side has are not pushed',
    file: 'src/store/replication.ts',
    find: '  const isAtLeader = fromLeader && isAtSender',
    replace: '  const isAtLeader = fromLeader && order <= 0',
    kinds: 'drifting',
  },
  {
    name: 'stamps of one origin go down',
    file: 'src/store/identity.ts',
    find: '    if (version < this.#high) this.#next()\n',
    replace: '',
    kinds: 'drifting',
  },
  {
    name: 'a write may be covered by the marks of its key',
    file: 'src/store/identity.ts',
    find: '    while (isCovered(marks, { origin: this.#origin, version })) this.#next()\n',
    replace:
      '    if (isCovered(marks, { origin: this.#origin, version: -version })) this.#next()\n',
    kinds: 'drifting',
  },
  {
    name: 'below the stamps of before, a write does not cover what its node wrote there',
    file: 'src/store/identity.ts',
    find: '    if (version > this.#reach || before === this.#origin) return undefined\n',
    replace: '    if (version > 0n || before === this.#origin) return undefined\n',
    kinds: 'drifting',
  },
  {
    name: 'a tombstone is forgotten though what it won against has a stamp to come',
    file: 'src/core/entry.ts',
    find: '  return latest > tombstone.deleted ? latest : tombstone.deleted',
    replace: '  return latest > 0n ? tombstone.deleted : tombstone.deleted',
    kinds: 'drifting',
  },
  {
    name: 'digests are always alike',
    file: 'cluster/anti-entropy.ts',
    find: 'if (their === undefined || our === undefined || sameDigest(their, our)) return',
    replace: 'if (their === undefined || our === undefined || sameDigest(their, their)) return',
    kinds: 'divergence',
  },
  {
    name: 'digests leave out deletes',
    file: 'cluster/unknown-entries.ts',
    find: 'return (protocol < PROTOCOL_WITH_FIELDS ? record.deleted : lastStampOf(record)) > horizon',
    replace: 'return protocol < 0',
    kinds: 'lost disks',
  },
  {
    name: 'damage that could not be declared is forgotten',
    file: 'src/store/storage-guard.ts',
    find: '        this.#retry(work)\n',
    replace: '',
    kinds: 'failing disks',
  },
  {
    name: 'peers are not compared with when damage is found',
    file: 'src/store/storage-guard.ts',
    find: '    for (const listener of this.#listeners) listener()\n',
    replace: '',
    kinds: 'damaged',
  },
  {
    name: 'all openings of a storage have one epoch',
    file: 'src/store/epochs.ts',
    find: '[...parse(stored), [id, head]]',
    replace: "[...parse(stored), ['same', head]]",
    kinds: 'power cuts',
  },
  {
    name: 'what comes over the bus is taken although something before it is missing',
    file: 'cluster/follower-feed.ts',
    find: 'if (batch.from > covered || batch.records === undefined) break',
    replace: 'if (batch.records === undefined) break',
    kinds: 'bus',
    isQuick: true,
  },
  {
    name: 'what is too large for the bus is taken for nothing',
    file: 'cluster/follower-feed.ts',
    find: 'if (batch.from > covered || batch.records === undefined) break',
    replace: 'if (batch.from > covered) break',
    kinds: 'bus',
  },
  {
    name: 'when another node leads, what is owed stays owed to the one before',
    file: 'src/store/redirect.ts',
    find: 'return records.redirect(leaderOf)',
    replace: 'return []',
    kinds: 'elections',
    isQuick: true,
  },
  {
    name: 'a leader believes in its lease after others may have it',
    file: 'cluster/election/election-state.ts',
    find: 'validMs: durationMs * 0.75',
    replace: 'validMs: durationMs * 1.5',
    kinds: 'elections',
  },
]
