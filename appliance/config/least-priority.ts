/**
 * The least VRRP priority that a unit may be given: one that is unfit says less (ha/vrrp/tracking.ts).
 * A file of its own, since the speaker has it too and no schemas.
 */
export const LEAST_PRIORITY = 10;
