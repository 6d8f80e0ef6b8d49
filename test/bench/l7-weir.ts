/**
 * Weir as one of the proxies of the layer-7 benchmark.
 */
import type { Proxy } from './l7-scene.js';

/** Null: this build cannot serve HTTP as the scene asks for it. */
export function weir(): Proxy | null {
  return null;
}
