/** Whose a data folder is: services have users of their own, and it is root who repairs their data. */
import { lchown, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Gives what root made, a folder and everything in it, to the owner of the folder `like`, who could not open
 * it otherwise. Other users can give nothing away: for them it does nothing.
 * @throws the error of the file system that refuses it
 */
export async function giveToOwnerOf(like: string, folder: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  const { uid, gid } = await stat(like)
  const names = await readdir(folder, { recursive: true })
  for (const name of ['', ...names]) await lchown(join(folder, name), uid, gid)
}
