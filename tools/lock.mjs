/**
 * A lock between processes: a file that names its holder, and the process that works for it. A
 * holder that is gone (killed, machine restarted) is noticed by its pid and start time, and its
 * lock is taken over once the process that worked for it is gone too.
 */
import * as fs from 'node:fs'

const POLL_MS = 100
/** Longest wait for a holder that is alive. */
const PATIENCE_MS = 15 * 60_000

/**
 * Runs `work` while holding the lock `file`; waits for a living holder first.
 * @param {string} file
 * @param {(line: string) => void} say told once when it has to wait
 * @param {(guard: (pid: number) => void) => Promise<void>} work told how to name a child process
 *   that must end before anybody else may take the lock
 */
export async function withLock(file, say, work) {
  await acquire(file, say)
  const release = () => fs.rmSync(file, { force: true })
  // Also covers process.exit() inside `work`; a kill is covered by the next taker.
  process.once('exit', release)
  try {
    await work((pid) => writeWhole(file, [process.pid, pid]))
  } finally {
    process.off('exit', release)
    release()
  }
}

async function acquire(file, say) {
  const deadline = Date.now() + PATIENCE_MS
  for (let told = false; !tryCreate(file); ) {
    const holder = readHolder(file)
    if (holder === undefined) continue
    if (!isAlive(holder)) {
      takeAway(file, holder)
      continue
    }
    if (Date.now() > deadline) {
      throw new Error(`another run (pid ${holder.split(' ')[0]}) holds ${file} for too long`)
    }
    if (!told) say(`waiting for another run (pid ${holder.split(' ')[0]})`)
    told = true
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** Replaces the lock, which is ours, in one step, so that nobody ever reads half of it. */
function writeWhole(file, pids) {
  const draft = `${file}.${process.pid}`
  fs.writeFileSync(draft, pids.map(describe).join('\n'))
  fs.renameSync(draft, file)
}

/** Creates the lock with its content in one step. */
function tryCreate(file) {
  const draft = `${file}.${process.pid}`
  fs.writeFileSync(draft, describe(process.pid))
  try {
    fs.linkSync(draft, file)
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  } finally {
    fs.rmSync(draft, { force: true })
  }
}

function readHolder(file) {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

/** Removes the lock of a holder that is gone, unless somebody else has just replaced it. */
function takeAway(file, holder) {
  const aside = `${file}.${process.pid}`
  try {
    fs.renameSync(file, aside)
    if (fs.readFileSync(aside, 'utf8') !== holder) fs.linkSync(aside, file)
    fs.rmSync(aside, { force: true })
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'EEXIST') throw error
  }
}

function isAlive(holder) {
  return holder.split('\n').some(isRunning)
}

/** Whether a process runs that was described before. */
function isRunning(description) {
  const pid = Number(description.split(' ')[0])
  // Our own pid in somebody else's lock: the number was used again, as in a new container.
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (error.code !== 'EPERM') return false
  }
  return describe(pid) === description
}

/** A process by pid and, where /proc tells, start time: pids are used again, pairs are not. */
function describe(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in brackets and may itself hold spaces.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? `${pid} ended` : `${pid} ${fields[19]}`
  } catch {
    return `${pid}`
  }
}
