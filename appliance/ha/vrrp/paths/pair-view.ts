/**
 * What the other unit's heartbeats say about who should hold a group. Pure.
 *
 * - A unit that held a group and says over any path that it does not, because it is at fault, ends
 *   or gives the group up, is followed at once: nobody waits for the silence of a dead master.
 * - A unit that held it and is silent on every path, and on the network of the routers for as long,
 *   is dead: it is followed at once, too.
 * - Silence of one path, or of the routers' network alone, says nothing here. With the unit alive
 *   elsewhere it means that this network is cut, and then VRRP's own time decides: each part of the
 *   network has clients that reach one unit alone, so each unit holds. Where heartbeats still pass
 *   through that network, it is only VRRP's multicast that does not, and clients could see both:
 *   there heartbeats count as advertisements (engine.ts), and one unit holds.
 */
import type { Group } from '../group.js';
import type { PeerNews } from './peer.js';

export class PairView {
  #before: PeerNews = { alive: false, report: new Map(), by: [], lost: 0 };
  /** Groups that the other unit held when all paths were lost. */
  readonly #bereft = new Set<Group>();

  /** Something was heard, or is no longer. */
  hear(news: PeerNews, groups: readonly Group[]): void {
    const { alive, report } = this.#before;
    this.#before = news;
    if (news.alive) this.#bereft.clear();
    if (!alive) return;
    for (const group of groups) {
      if (group.state !== 'backup' || report.get(group.key)?.state !== 'master') continue;
      if (!news.alive) this.#bereft.add(group);
      else if ((news.report.get(group.key)?.state ?? 'down') === 'down') {
        group.vacant('the other unit gave it up');
      }
    }
  }

  /** Acts on time. */
  elapse(groups: readonly Group[], now: number): void {
    for (const group of groups) {
      if (!this.#bereft.has(group) || now < this.#vacantAt(group)) continue;
      this.#bereft.delete(group);
      if (group.state === 'backup') group.vacant('the other unit is silent on every path');
    }
  }

  deadline(groups: readonly Group[]): number {
    if (this.#bereft.size === 0) return Infinity;
    return Math.min(
      ...groups.filter((group) => this.#bereft.has(group)).map((group) => this.#vacantAt(group)),
      Infinity,
    );
  }

  #vacantAt(group: Group): number {
    return group.heardAt + this.#before.lost;
  }
}
