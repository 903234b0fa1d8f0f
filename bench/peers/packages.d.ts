/** The peers are installed by `npm run bench:peers` alone: without them, too, the rest is checked. */
declare module 'bullmq';
declare module 'echarts';
declare module 'ioredis';
declare module 'jest-worker';
declare module 'piscina';
declare module 'tinypool';
declare module 'workerpool';
